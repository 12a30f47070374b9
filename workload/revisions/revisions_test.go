package revisions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

var t0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func version(name string) Revision {
	return Revision{Hash: name, Template: &v1.PodTemplateSpec{}, Cause: "for " + name}
}

// row writes the revisions; what holds is the last, and = before it says that it is in place of the manifest's.
func (o *Object) row() string {
	var out []string
	for i, r := range o.Revisions {
		text := fmt.Sprintf("%d:%s", r.Number, r.Hash)
		if i == len(o.Revisions)-1 && o.Instead != nil {
			text = "=" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

// What holds after edits, undos, rollbacks and pauses. A letter is what the manifest says, + that the version became ready, < a rollback,
// ! and ~ a pause and its end, u an undo, and a digit an undo to that revision.
func TestWhatHolds(t *testing.T) {
	for _, c := range []struct{ name, story, want string }{
		{"a first version", "A", "1:A"},
		{"an edit", "AB", "1:A 2:B"},
		{"the same again", "AAB B", "1:A 2:B"},
		{"a former one comes back by an edit", "ABA", "2:B 3:A"},
		{"an undo", "ABu", "2:B =3:A"},
		{"it holds while the manifest stays", "ABuBB", "2:B =3:A"},
		{"an undo of an undo", "ABuu", "3:A 4:B"},
		{"an edit ends it", "ABuC", "2:B 3:A 4:C"},
		{"an edit to what holds ends it", "ABuA", "2:B 3:A"},
		{"an undo to a revision", "ABC1", "2:B 3:C =4:A"},
		{"an undo to what holds", "AB2", "1:A 2:B"},
		{"a rollback", "A+B<", "2:B =3:A"},
		{"it is not tried again", "A+B<BB", "2:B =3:A"},
		{"an edit is tried", "A+B<C", "2:B 3:A 4:C"},
		{"and goes back, too", "A+B<C<", "2:B 4:C =5:A"},
		{"what was ready does not go back", "A+B+<", "1:A 2:B"},
		{"a first version does not go back", "A<", "1:A"},
		{"nothing was ready", "AB<", "1:A 2:B"},
		{"an undo to what is bad goes back to the manifest's", "AB+u<", "3:A 4:B"},
		{"somebody asks for it again", "A+B<2", "3:A 4:B"},
		{"and it goes back again", "A+B<2<", "4:B =5:A"},
		{"a pause", "A!B", "1:A"},
		{"a pause goes on over edits", "A!BC", "1:A"},
		{"and ends", "A!BC~C", "1:A 2:C"},
		{"nothing goes back meanwhile", "A+B!<", "1:A 2:B"},
		{"the limit", "ABCDE", "2:B 3:C 4:D 5:E"},
		{"the limit, with a good one", "A+BCDE", "1:A 3:C 4:D 5:E"},
	} {
		o := &Object{}
		for _, step := range c.story {
			switch {
			case step == ' ':
			case step >= 'A' && step <= 'Z':
				o.Take(version(string(step)), 3, t0)
			case step == '+':
				o.Proven()
			case step == '<':
				if o.Tried() {
					o.Back("it is bad", t0)
				}
			case step == '!':
				o.Paused = t0
			case step == '~':
				o.Paused = time.Time{}
			case step == 'u':
				if _, err := o.Undo(0, t0); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			default:
				if _, err := o.Undo(int64(step-'0'), t0); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		if got := o.row(); got != c.want {
			t.Errorf("%s: %s: got %s, want %s", c.name, c.story, got, c.want)
		}
		if reason, message := o.Held(); (reason == "") != (o.Instead == nil && o.Paused.IsZero()) || (reason == "") != (message == "") {
			t.Errorf("%s: it says %q, %q", c.name, reason, message)
		}
	}
}

func TestUndoRefused(t *testing.T) {
	o := &Object{}
	o.Take(version("A"), 3, t0)
	if _, err := o.Undo(0, t0); !errors.Is(err, ErrNoHistory) {
		t.Error(err)
	}
	o.Take(version("B"), 3, t0)
	if _, err := o.Undo(7, t0); !errors.Is(err, ErrNoRevision) {
		t.Error(err)
	}
	if skipped, err := o.Undo(2, t0); err != nil || !skipped {
		t.Error(skipped, err)
	}
	o.Paused = t0
	if _, err := o.Undo(0, t0); !errors.Is(err, ErrPaused) {
		t.Error(err)
	}
}

// A cause that is written later counts, and one that was stays with its version.
func TestCause(t *testing.T) {
	o := &Object{}
	o.Take(version("A"), 3, t0)
	later := version("A")
	later.Cause = "said later"
	if changed, _ := o.Take(later, 3, t0); !changed || o.Current().Cause != "said later" {
		t.Errorf("%+v", o.Current())
	}
	o.Take(version("B"), 3, t0)
	if _, err := o.Undo(0, t0); err != nil || o.Current().Cause != "said later" {
		t.Errorf("%+v, %v", o.Current(), err)
	}
}

// Each start before a version is ready takes some of its time away, and after eight none is left.
func TestAllowed(t *testing.T) {
	for starts, want := range []time.Duration{8 * time.Minute, 7 * time.Minute, 6 * time.Minute, 5 * time.Minute, 4 * time.Minute, 3 * time.Minute, 2 * time.Minute, time.Minute, 0, 0} {
		if got := (&Object{Starts: starts}).Allowed(8 * time.Minute); got != want {
			t.Errorf("after %d starts: %s, want %s", starts, got, want)
		}
	}
	if Settled(time.Minute) != 10*time.Second || Settled(12*time.Second) != 6*time.Second {
		t.Error(Settled(time.Minute), Settled(12*time.Second))
	}
}
