// Package collect removes images that nobody uses: as the disk gets full or they get old, when pods would be evicted otherwise, and when
// somebody asks for it. Which images go is decided in runner/image/choice.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/stored"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/image/choice"
	"github.com/solopod/solopod/runner/image/usage"
	"github.com/solopod/solopod/runner/turn"
)

// Store has the images; image.Store is one.
type Store interface {
	List(ctx context.Context) ([]engine.Image, error)
	Parts(ctx context.Context) (map[string]stored.Parts, error)
	Uses() map[string]time.Time
	Pulling() []string
	Collect(ctx context.Context, names []string, digest string) error
	Came() <-chan struct{}
}

// User uses images, or may begin to.
type User struct {
	// Name is what people call it: pod default/web.
	Name string
	// Images are references.
	Images []string
}

// Why images go.
const (
	forSpace    = "space"
	forAge      = "age"
	forEviction = "eviction"
	forPrune    = "prune"
)

// Reasons are all of these.
var Reasons = []string{forSpace, forAge, forEviction, forPrune}

// Config is what a Collector works with.
type Config struct {
	Settings choice.Settings
	// Pinned are references of images that stay.
	Pinned []string
	Store  Store
	Times  *usage.Ledger
	// Users are those there are. known says whether it is known who there should be: nothing is removed before.
	Users func() (users []User, known bool)
	// Level measures the disk of the images; nil where it is not known which that is.
	Level func(ctx context.Context) (threshold.Level, error)
	// Ready is closed when it is known who uses images.
	Ready <-chan struct{}
	// Tell makes an event of the node.
	Tell func(eventType, reason, message string)
	// Count is told of each image that was removed, with what became free by it, in bytes.
	Count func(reason string, freed int64)
}

// turnLimit is how long is waited for another one who removes images.
const turnLimit = time.Minute

var (
	errBusy    = errors.New("images are being removed already, for more than a minute; try again later")
	errUnknown = errors.New("the manifests have not been read yet, so that it is not known which images are used; try again in a moment")
)

// Collector removes images. It is safe for concurrent use.
type Collector struct {
	config Config
	turn   turn.Turn
	places aside.Places
	pinned []func(name, digest string) bool
}

// New makes a Collector, which does nothing by itself before Run.
func New(c Config) *Collector {
	out := &Collector{config: c, turn: turn.New(turnLimit, errBusy)}
	for _, ref := range c.Pinned {
		out.pinned = append(out.pinned, image.Matcher(ref))
	}
	return out
}

// saveLimit is how long the record of uses may take to be written.
const saveLimit = 5 * time.Second

// look lists the images, one for each digest, with who uses them, and since when nobody does. Without parts it does not say how large they are.
func (c *Collector) look(ctx context.Context, parts bool) ([]choice.Image, error) {
	list, users, err := c.present(ctx)
	if err != nil {
		return nil, err
	}
	sizes := map[string]stored.Parts{}
	if parts {
		if sizes, err = c.config.Store.Parts(ctx); err != nil {
			return nil, err
		}
	}
	images := grouped(list, sizes)
	for n := range images {
		for _, u := range users {
			if u.uses(images[n]) { // also by one of its names only
				images[n].Users = append(images[n].Users, u.name)
			}
		}
		slices.Sort(images[n].Users)
		images[n].Users = slices.Compact(images[n].Users) // a pod is known by its manifest, by itself and by its containers
	}
	c.findTimes(ctx, images)
	return images, nil
}

// present lists the images by their names, and all who may use one.
func (c *Collector) present(ctx context.Context) (list []engine.Image, users []matcher, err error) {
	all, known := c.config.Users()
	if !known {
		return nil, nil, errUnknown
	}
	list, err = c.config.Store.List(ctx)
	return list, c.matchers(all, list), err
}

// grouped makes one of all names of a content.
func grouped(list []engine.Image, sizes map[string]stored.Parts) (out []choice.Image) {
	at := map[string]int{}
	for _, i := range list {
		n, known := at[i.Digest]
		if !known {
			n = len(out)
			at[i.Digest] = n
			out = append(out, choice.Image{Digest: i.Digest, Parts: sizes[i.Digest]})
		}
		out[n].Names = append(out[n].Names, i.Name)
	}
	return out
}

// matcher is a user whose references were read.
type matcher struct {
	name  string
	means []func(name, digest string) bool
}

// matchers are the users, and what else keeps images: pins, also of the images in list, and pulls that go on.
func (c *Collector) matchers(users []User, list []engine.Image) (out []matcher) {
	read := map[string]func(name, digest string) bool{}
	for _, u := range users {
		m := matcher{name: u.Name}
		for _, ref := range u.Images {
			if read[ref] == nil {
				read[ref] = image.Matcher(ref)
			}
			m.means = append(m.means, read[ref])
		}
		out = append(out, m)
	}
	labelled := map[string]bool{}
	for _, i := range list {
		labelled[i.Name] = i.Pinned
	}
	pulling := c.config.Store.Pulling()
	return append(out, matcher{"whoever has pinned it", slices.Concat(c.pinned, []func(name, digest string) bool{
		func(name, _ string) bool { return labelled[name] },
	})}, matcher{"a pull that goes on", []func(name, digest string) bool{
		func(name, _ string) bool { return slices.Contains(pulling, name) },
	}})
}

func (m matcher) uses(i choice.Image) bool {
	return slices.ContainsFunc(m.means, func(means func(name, digest string) bool) bool { return meansAny(means, i) })
}

func meansAny(means func(name, digest string) bool, i choice.Image) bool {
	return slices.ContainsFunc(i.Names, func(name string) bool { return means(name, i.Digest) })
}

// findTimes notes when each image came and was used last.
func (c *Collector) findTimes(ctx context.Context, images []choice.Image) {
	present := map[string]bool{}
	for _, i := range images {
		present[i.Digest] = len(i.Users) > 0
	}
	times := c.config.Times.Look(present, c.config.Store.Uses(), time.Now())
	for n := range images {
		t := times[images[n].Digest]
		images[n].Came, images[n].Used = t.Came, t.Used
	}
	if _, err := aside.Do(ctx, &c.places, "the record of images", saveLimit, func() (struct{}, error) {
		c.config.Times.Save()
		return struct{}{}, nil
	}); err != nil {
		slog.Debug("the record of when images were used was not written", "err", err)
	}
}

// removeLimit is how long one image may take to go.
const removeLimit = 2 * time.Minute

// errTaken: somebody has begun to use an image since it was chosen.
var errTaken = errors.New("it is used now")

// remove removes an image that was chosen at a time, unless somebody has begun to use or pull it since.
func (c *Collector) remove(ctx context.Context, g choice.Going, chosen time.Time, reason string) error {
	users, known := c.config.Users()
	taken := !known || c.config.Store.Uses()[g.Digest].After(chosen)
	for _, m := range c.matchers(users, nil) {
		taken = taken || m.uses(g.Image)
	}
	if taken {
		return errTaken
	}
	limited, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	err := c.config.Store.Collect(limited, g.Names, g.Digest)
	if err != nil {
		return fmt.Errorf("cannot remove image %s: %w", title(g.Image), err)
	}
	slog.Info("an image that nobody uses was removed", "image", title(g.Image), "why", reason, "freed", Size(g.Frees))
	c.config.Count(reason, g.Frees)
	return nil
}

// removeAll removes what was chosen, as far as it is not used meanwhile, and returns what went.
func (c *Collector) removeAll(ctx context.Context, list []choice.Going, reason string) (gone []choice.Going, taken []choice.Staying, err error) {
	var errs []error
	chosen := time.Now()
	for _, g := range list {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		switch err := c.remove(ctx, g, chosen, reason); {
		case errors.Is(err, errTaken):
			taken = append(taken, choice.Staying{Image: g.Image, Why: err.Error()})
		case err != nil:
			taken = append(taken, choice.Staying{Image: g.Image, Why: err.Error()})
			errs = append(errs, err)
		default:
			gone = append(gone, g)
		}
	}
	return gone, taken, errors.Join(errs...)
}

// Reclaim removes all images that nobody uses, as a kubelet does before it evicts a pod. It implements eviction.Reclaim.Do.
func (c *Collector) Reclaim(ctx context.Context, _ uint64) (did string, err error) {
	err = c.turn.Do(ctx, func() error {
		images, err := c.look(ctx, true)
		if err != nil {
			return err
		}
		going := choice.Choose(images, choice.Wish{Need: choice.Everything, MinAge: c.config.Settings.MinAge}, time.Now()).Go
		gone, _, err := c.removeAll(ctx, going, forEviction)
		if did = told(gone); did != "" {
			c.config.Tell("Normal", "ImagesCollected", "before a pod is evicted "+did)
		}
		return err
	})
	return did, err
}

// told says what went; empty where nothing did.
func told(gone []choice.Going) string {
	if len(gone) == 0 {
		return ""
	}
	names := make([]string, len(gone))
	for n, g := range gone {
		names[n] = title(g.Image)
	}
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	what := "1 unused image was removed"
	if len(gone) > 1 {
		what = fmt.Sprintf("%d unused images were removed", len(gone))
	}
	return fmt.Sprintf("%s (%s): %s are free", what, strings.Join(names, ", "), Size(int64(min(choice.Choice{Go: gone}.Frees(), 1<<62)))) //nolint:gosec // bounded
}

// title is an image's name for people.
func title(i choice.Image) string {
	if len(i.Names) == 0 {
		return i.Digest
	}
	return i.Names[0]
}

// Size writes an amount of bytes, as people read it.
func Size(n int64) string {
	q := resource.NewQuantity(n, resource.BinarySI)
	if n >= 1<<20 { // more than that is not told apart
		q.Set(n >> 20 << 20)
	}
	return q.String()
}
