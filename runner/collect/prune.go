package collect

import (
	"context"
	"time"

	"github.com/solopod/solopod/runner/image/choice"
)

// Pruning is what somebody wants to have removed.
type Pruning struct {
	// All: also images that have come just now.
	All bool
	// Unused is for how long nobody must have used an image; zero: it does not matter.
	Unused time.Duration
	// DryRun: nothing is removed.
	DryRun bool
}

// Pruned is what was removed, or would be, and what was not.
type Pruned struct {
	DryRun  bool    `json:"dryRun,omitempty"`
	Removed []Entry `json:"removed"`
	Kept    []Entry `json:"kept"`
	// Freed is in bytes.
	Freed int64 `json:"freed"`
	// Error says what could not be removed.
	Error string `json:"error,omitempty"`
}

// Entry is an image.
type Entry struct {
	Names  []string `json:"names"`
	Digest string   `json:"digest"`
	// Size is what it takes up, in bytes, also where others share it; Frees what becomes free when it goes.
	Size  int64 `json:"size"`
	Frees int64 `json:"frees,omitempty"`
	// LastUsed is when it was used last, or came.
	LastUsed time.Time `json:"lastUsed"`
	// Reason says why it is kept.
	Reason string `json:"reason,omitempty"`
}

func entry(i choice.Image) Entry {
	return Entry{Names: i.Names, Digest: i.Digest, Size: i.Size(), LastUsed: i.Last().UTC()}
}

// Prune removes images that nobody uses.
func (c *Collector) Prune(ctx context.Context, p Pruning) (out Pruned, err error) {
	out = Pruned{DryRun: p.DryRun, Removed: []Entry{}, Kept: []Entry{}}
	err = c.turn.Do(ctx, func() error {
		images, err := c.look(ctx, true)
		if err != nil {
			return err
		}
		wish := choice.Wish{Need: choice.Everything, MinAge: c.config.Settings.MinAge, Unused: p.Unused}
		if p.All {
			wish.MinAge = 0
		}
		chosen := choice.Choose(images, wish, time.Now())
		gone, stay := chosen.Go, chosen.Stay
		if !p.DryRun {
			var taken []choice.Staying
			gone, taken, err = c.removeAll(ctx, chosen.Go, forPrune)
			stay = append(stay, taken...)
			if err != nil {
				out.Error = err.Error()
			}
		}
		for _, g := range gone {
			e := entry(g.Image)
			e.Frees = g.Frees
			out.Freed += g.Frees
			out.Removed = append(out.Removed, e)
		}
		for _, s := range stay {
			e := entry(s.Image)
			e.Reason = s.Why
			out.Kept = append(out.Kept, e)
		}
		return nil
	})
	return out, err
}

// UsersOf are those who can no longer have their image when those go that goes means: not who means another name of it that stays.
func (c *Collector) UsersOf(ctx context.Context, goes func(name, digest string) bool) (names []string, err error) {
	list, users, err := c.present(ctx)
	for _, i := range grouped(list, nil) {
		going, staying := choice.Image{Digest: i.Digest}, choice.Image{Digest: i.Digest}
		for _, name := range i.Names {
			if goes(name, i.Digest) {
				going.Names = append(going.Names, name)
			} else {
				staying.Names = append(staying.Names, name)
			}
		}
		for _, u := range users {
			if u.uses(going) && !u.uses(staying) {
				names = append(names, u.name)
			}
		}
	}
	return names, err
}
