package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/source/watch"
)

// moment is when tests look.
var moment = time.Unix(1, 0)

// Each version of a file is told once, with who owns it; what a file with a Secret holds is not.
func TestChangesAreTold(t *testing.T) {
	set := manifests.NewSet(nil)
	c := newChanges(set.Snapshot(moment))
	var told []manifests.Change
	c.tell = func(change manifests.Change) { told = append(told, change) }
	look := func(what string, r watch.Round[document], want ...string) {
		t.Helper()
		told = nil
		for name, l := range r.Loaded {
			set.Put(name, l.Value.contents, l.Value.problems, moment)
		}
		for name, err := range r.Failed {
			set.Put(name, manifests.Contents{}, manifests.Problems{{File: name, Message: err.Error()}}, moment)
		}
		for _, name := range r.Gone {
			set.Drop(name)
		}
		s := set.Snapshot(moment)
		c.tellOf(r, &s)
		var got []string
		for _, f := range told {
			uid := "nobody"
			if f.Origin != nil {
				uid = fmt.Sprint(f.Origin.UID)
			}
			got = append(got, fmt.Sprintf("%s %s start=%t gone=%t +%v ~%v -%v %s", f.File, uid, f.AtStart, f.Gone, f.Added, f.Edited, f.Removed, f.Refused))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	file := func(text string) watch.Round[document] {
		contents, problems := decode.Decode("f.yaml", []byte(text), decode.Options{})
		d := document{contents: contents, problems: problems, origin: manifests.Origin{UID: 7}, secret: strings.Contains(text, "Secret")}
		return watch.Round[document]{Loaded: map[string]watch.Loaded[document]{"f.yaml": {Value: d}}}
	}
	pod := func(rest string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i" + rest + "}]}\n"
	}
	look("the first look", file(pod("")), "f.yaml 7 start=true gone=false +[default/p] ~[] -[] ")
	look("touched", file(pod("")))
	look("an edit", file(pod(", tty: true")), "f.yaml 7 start=false gone=false +[] ~[default/p] -[] ")
	look("a bad one", file(pod(", ttty: true")), `f.yaml 7 start=false gone=false +[] ~[] -[] f.yaml:4:41: spec.containers[0].ttty: unknown field; did you mean "tty"?`)
	look("the bad one again", file(pod(", ttty: true")))
	look("mended", file(pod(", tty: true")))
	look("the bad one anew", file(pod(", ttty: true")), `f.yaml 7 start=false gone=false +[] ~[] -[] f.yaml:4:41: spec.containers[0].ttty: unknown field; did you mean "tty"?`)
	look("not to be read", watch.Round[document]{Failed: map[string]error{"f.yaml": errors.New("it is a FIFO")}}, "f.yaml nobody start=false gone=false +[] ~[] -[] f.yaml: it is a FIFO")
	bad := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: [hunter2]}\n"
	told = nil
	r := file(bad)
	set.Put("f.yaml", r.Loaded["f.yaml"].Value.contents, r.Loaded["f.yaml"].Value.problems, moment)
	s := set.Snapshot(moment)
	c.tellOf(r, &s)
	if len(told) != 1 || strings.Contains(told[0].Refused, "hunter2") || !strings.Contains(told[0].Refused, "f.yaml:4") {
		t.Errorf("a bad Secret: %+v", told)
	}
	look("gone", watch.Round[document]{Gone: []string{"f.yaml"}}, "f.yaml nobody start=false gone=true +[] ~[] -[default/p] ")
}
