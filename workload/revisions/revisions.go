// Package revisions has the versions of an object that were: which one holds, which one was good, and what holds in place of what the
// manifest says. It is pure.
package revisions

import (
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Revision is a version of an object. Of a Deployment and the like it has a template, of a pod the pod.
type Revision struct {
	Number   int64               `json:"number"`
	Hash     string              `json:"hash"`
	Template *v1.PodTemplateSpec `json:"template,omitempty"`
	Pod      *v1.Pod             `json:"pod,omitempty"`
	// Cause is the annotation kubernetes.io/change-cause that the object had.
	Cause string `json:"cause,omitempty"`
	// Since is when it came to hold last.
	Since time.Time `json:"since"`
}

// Why another version holds than the manifest's.
const (
	RolledBack = "RolledBack"
	Undone     = "Undone"
	Paused     = "Paused"
)

// Instead is why a version holds in place of the manifest's, until that is changed.
type Instead struct {
	Reason  string    `json:"reason"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since"`
}

// Object is what is kept of one. The last revision is the one that holds; its number is the highest.
type Object struct {
	Revisions []Revision `json:"revisions"`
	// Given identifies what the manifest says.
	Given   string   `json:"given"`
	Instead *Instead `json:"instead,omitempty"`
	// Paused is since when what the manifest says is not taken; zero: it is.
	Paused time.Time `json:"paused,omitzero"`
	// Good identifies the last version that was ready.
	Good string `json:"good,omitempty"`
	// Starts counts the starts of Solopod while the version that holds had not been ready yet.
	Starts int `json:"starts,omitempty"`
}

// mostRevisions bounds what revisionHistoryLimit can ask for.
const mostRevisions = 100

// Current is the revision that holds; nil before the first.
func (o *Object) Current() *Revision {
	if len(o.Revisions) == 0 {
		return nil
	}
	return &o.Revisions[len(o.Revisions)-1]
}

// Take notes what the manifest says now, and which of the versions that were are kept: as many as limit says. returned says that what
// held in its place gives way, as the manifest has changed.
func (o *Object) Take(given Revision, limit int, now time.Time) (changed, returned bool) {
	if o.Given != given.Hash {
		returned = o.Instead != nil && o.Paused.IsZero()
		o.Given, o.Instead, changed = given.Hash, nil, true
	}
	if len(o.Revisions) == 0 || o.Instead == nil && o.Paused.IsZero() {
		changed = o.raise(given, now) || changed
	}
	if r := o.Current(); r.Hash == given.Hash && r.Cause != given.Cause {
		r.Cause, changed = given.Cause, true
	}
	return o.trim(limit) || changed, returned
}

// raise has a version hold. As by Kubernetes, one that was has the newest number then.
func (o *Object) raise(r Revision, now time.Time) bool {
	r.Number = 1
	if last := o.Current(); last != nil {
		if last.Hash == r.Hash {
			return false
		}
		r.Number = last.Number + 1
	}
	o.Revisions = append(slices.DeleteFunc(slices.Clone(o.Revisions), func(was Revision) bool { return was.Hash == r.Hash }), r)
	o.Current().Since = now.UTC().Truncate(time.Second)
	o.Starts = 0
	return true
}

// trim forgets the oldest, but for the last good one.
func (o *Object) trim(limit int) (gone bool) {
	for i := 0; i < len(o.Revisions)-1 && len(o.Revisions)-1 > min(max(limit, 0), mostRevisions); {
		if o.Revisions[i].Hash == o.Good {
			i++
			continue
		}
		o.Revisions, gone = slices.Delete(slices.Clone(o.Revisions), i, i+1), true
	}
	return gone
}

// Proven notes that the version that holds is ready.
func (o *Object) Proven() (changed bool) {
	r := o.Current()
	if r == nil || o.Good == r.Hash {
		return false
	}
	o.Good, o.Starts = r.Hash, 0
	return true
}

// Tried says whether the version that holds has yet to become ready, and there is one to go back to if it does not.
func (o *Object) Tried() bool {
	return len(o.Revisions) > 0 && o.Good != "" && o.Good != o.Current().Hash && o.Paused.IsZero() && o.find(o.Good) != nil
}

func (o *Object) find(hash string) *Revision {
	if i := slices.IndexFunc(o.Revisions, func(r Revision) bool { return r.Hash == hash }); i >= 0 {
		return &o.Revisions[i]
	}
	return nil
}

// Back has the last version hold that was ready, and says why. It is for what is Tried.
func (o *Object) Back(why string, now time.Time) {
	o.hold(*o.find(o.Good), &Instead{Reason: RolledBack, Message: why, Since: now.UTC().Truncate(time.Second)}, now)
}

func (o *Object) hold(r Revision, instead *Instead, now time.Time) {
	o.raise(r, now)
	if o.Instead = instead; r.Hash == o.Given {
		o.Instead = nil
	}
}

// Errors of Undo.
var (
	ErrNoHistory  = errors.New("there is no former version: none is kept before the second one, and no more than revisionHistoryLimit")
	ErrNoRevision = errors.New("there is no such version any more, or not yet: solopod rollout history shows those that are kept")
	ErrPaused     = errors.New("it is paused; resume it first with: solopod rollout resume")
)

// Undo has the version with a number hold, or with zero the one before. skipped says that it does already.
func (o *Object) Undo(to int64, now time.Time) (skipped bool, err error) {
	switch {
	case !o.Paused.IsZero():
		return false, ErrPaused
	case to == 0 && len(o.Revisions) < 2:
		return false, ErrNoHistory
	case to == 0:
		to = o.Revisions[len(o.Revisions)-2].Number
	}
	i := slices.IndexFunc(o.Revisions, func(r Revision) bool { return r.Number == to })
	switch {
	case i < 0:
		return false, fmt.Errorf("revision %d: %w", to, ErrNoRevision)
	case i == len(o.Revisions)-1:
		return true, nil
	}
	o.hold(o.Revisions[i], &Instead{Reason: Undone, Since: now.UTC().Truncate(time.Second)}, now)
	return false, nil
}

// Held says why another version holds than the manifest's, or may come to; empty when none does.
func (o *Object) Held() (reason, message string) {
	if o.Paused.IsZero() {
		return o.instead()
	}
	message = fmt.Sprintf("paused since %s", o.Paused.UTC().Format(time.RFC3339))
	if _, why := o.instead(); why != "" {
		message += "; " + why // and stays so after a resume
	} else if r := o.Current(); r != nil && r.Hash != o.Given {
		message += fmt.Sprintf("; revision %d runs, and what the manifest says now waits for solopod rollout resume", r.Number)
	}
	return Paused, message
}

func (o *Object) instead() (reason, message string) {
	r := o.Current()
	if r == nil || o.Instead == nil {
		return "", ""
	}
	what := "by rollout undo"
	if o.Instead.Reason == RolledBack {
		what = "as the manifest's did not become ready: " + o.Instead.Message
	}
	version := fmt.Sprintf("revision %d", r.Number)
	if r.Pod != nil {
		version = "the last version that was ready"
	}
	return o.Instead.Reason, fmt.Sprintf("%s runs in place of the manifest's since %s, and until that is changed, %s", version, o.Instead.Since.Format(time.RFC3339), what)
}

// mostStarts is how many starts of Solopod a version has to become ready.
const mostStarts = 8

// Allowed is how long a version may take, of a deadline: each start before it has become ready takes an eighth of it away, so that one
// that has the machine crash over and over goes, too.
func (o *Object) Allowed(deadline time.Duration) time.Duration {
	return deadline * time.Duration(max(mostStarts-o.Starts, 0)) / mostStarts
}

// Settled is how long a version is ready before it counts as good, of a deadline: a container that crashes is ready for moments.
func Settled(deadline time.Duration) time.Duration {
	const usual = 10 * time.Second
	return min(usual, deadline/2)
}

// Forget forgets all former versions but some of the newest, and the last good one.
func (o *Object) Forget(but int) { o.trim(max(but-1, 0)) }
