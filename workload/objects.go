package workload

import (
	"strings"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/workload/shown"
)

// Objects are those of the manifests as they are shown.
type Objects = shown.Objects

// Objects are what there was at the last decision; none before the first.
func (c *Controller) Objects() Objects {
	c.mu.Lock()
	view := c.view
	c.mu.Unlock()
	if view == nil {
		return Objects{}
	}
	return c.gallery.Show(view)
}

// Subscribe returns a channel that gets a token whenever Objects may be others; several changes may share one.
func (c *Controller) Subscribe() (changes <-chan struct{}, cancel func()) {
	return c.changes.Subscribe()
}

// publish hands what is known to whoever asks.
func (c *Controller) publish() {
	v := &shown.View{
		Snapshot: c.snapshot, Replicas: c.looked.replicas, Jobs: c.looked.jobs, Cron: map[string]shown.Cron{}, Seen: c.seen, Files: c.files,
		Notes: map[string]shown.Note{},
	}
	for key, n := range c.History.Notes() {
		kind, rest, _ := strings.Cut(key, "/")
		note := shown.Note{Paused: n.Paused}
		if n.Reason != "" {
			note.Held = n.Reason + ": " + n.Message
		}
		if kind == "Deployment" {
			note.Revision = n.Revision
		}
		v.Notes[strings.ToLower(kind)+"/"+rest] = note
	}
	for key, s := range c.state.Cron {
		v.Cron[key] = shown.Cron{Started: s.started(), Succeeded: s.Succeeded}
	}
	c.mu.Lock()
	c.status, c.view = c.next, v
	c.mu.Unlock()
	c.changes.Notify()
}

// looked is what one look has found for those who are shown the objects.
type looked struct {
	replicas map[string]shown.Replicas
	jobs     []shown.Job
}

// filesOf says which file has an object.
func filesOf(s *manifests.Snapshot) map[string]string {
	out := map[string]string{}
	for _, f := range s.Files {
		for _, key := range f.Objects {
			if _, taken := out[key]; !taken {
				out[key] = f.Name
			}
		}
	}
	return out
}
