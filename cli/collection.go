package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/collect"
	"github.com/solopod/solopod/runner/eviction/supply"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/image/choice"
	imageusage "github.com/solopod/solopod/runner/image/usage"
)

// collectionSettings say when images go.
func collectionSettings(c *config) choice.Settings {
	return choice.Settings{
		High: c.ImageGCHighThresholdPercent, Low: c.ImageGCLowThresholdPercent, MinAge: c.ImageMinimumGCAge.Duration, MaxAge: c.ImageMaximumGCAge.Duration,
	}
}

// validateCollection says what is wrong with the settings of the collection of images.
func validateCollection(c *config, add func(key string, err error)) {
	for _, p := range collectionSettings(c).Check() {
		add(p.Setting, p.Err)
	}
	for _, ref := range c.PinnedImages {
		if _, err := image.Normalize(ref); err != nil {
			add("pinnedImages", fmt.Errorf("%w; it is %s", err, settingForms["pinnedImages"]))
		}
	}
}

// collection removes images that nobody uses.
type collection struct {
	*collect.Collector
	users *imageUsers
}

// newCollection makes it; left measures the disk of the images, versions has those of versions of objects that may come back.
func newCollection(c config, r *runner.Runner, left *supply.Supply, versions func() map[string][]string) *collection {
	users := &imageUsers{runner: r, versions: versions}
	settings := collect.Config{
		Settings: collectionSettings(&c), Pinned: c.PinnedImages, Store: r.Images(), Times: imageusage.Open(filepath.Join(c.Root, "images.json")),
		Users: users.list, Ready: r.Reconciled(), Tell: r.Events().Node, Count: r.Telemetry().Collected,
	}
	if c.Containerd == embeddedContainerd { // else it is not known where images lie
		settings.Level = func(ctx context.Context) (threshold.Level, error) {
			levels, err := left.Levels(ctx, []threshold.Signal{threshold.ImageSpace})
			return levels[threshold.ImageSpace], err
		}
	}
	return &collection{collect.New(settings), users}
}

// imageUsers are the pods, and the objects of manifests that make some.
type imageUsers struct {
	runner *runner.Runner
	// versions are the images of versions that hold in place of what manifests say, or that may come to, by object.
	versions func() map[string][]string
	// named are the objects of the manifests; nil before they were read.
	named atomic.Pointer[[]collect.User]
}

// apply takes a new desired state. While the directory cannot be read its objects may be more than those that are known.
func (u *imageUsers) apply(s manifests.Snapshot) {
	if s.DirectoryError == "" || u.named.Load() != nil {
		named := usersIn(s)
		u.named.Store(&named)
	}
}

// list are all users, once the manifests have been read.
func (u *imageUsers) list() (users []collect.User, known bool) {
	named := u.named.Load()
	if named == nil {
		return nil, false
	}
	users = slices.Clone(*named)
	for object, images := range u.versions() {
		users = append(users, collect.User{Name: "a version of " + object, Images: images})
	}
	for _, p := range u.runner.Pods() {
		user := collect.User{Name: "pod " + manifests.Key(p), Images: imagesOf(&p.Spec)}
		for _, list := range [][]v1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
			for i := range list {
				user.Images = append(user.Images, list[i].ImageID)
			}
		}
		users = append(users, user)
	}
	for _, t := range u.runner.Targets() { // also of a pod whose name another one has by now
		users = append(users, collect.User{Name: "pod " + t.Namespace + "/" + t.Pod, Images: []string{t.Image}})
	}
	return users, true
}

// usersIn are the objects of manifests, with the images that their pods have, or will have.
func usersIn(s manifests.Snapshot) (users []collect.User) {
	s.PodSpecs(func(kind, key string, spec *v1.PodSpec) {
		users = append(users, collect.User{Name: kind + " " + key, Images: imagesOf(spec)})
	})
	return users
}

// imagesOf are the references of a pod's images.
func imagesOf(spec *v1.PodSpec) (refs []string) {
	refs = manifests.Images(&v1.Pod{Spec: *spec})
	for i := range spec.EphemeralContainers {
		refs = append(refs, spec.EphemeralContainers[i].Image)
	}
	return refs
}
