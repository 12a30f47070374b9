package source

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"syscall"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/source/watch"
)

// changes tells what versions of files change, once for each version.
type changes struct {
	tell    func(manifests.Change) // nil: nobody wants to know
	before  *manifests.Snapshot
	started bool
	origins map[string]manifests.Origin // of the files' last versions
	refused map[string]string
}

// newChanges begins with what an earlier run has applied.
func newChanges(known manifests.Snapshot) changes {
	return changes{before: &known, origins: map[string]manifests.Origin{}, refused: map[string]string{}}
}

// originOf is what an open file's stat says of who has made it.
func originOf(info fs.FileInfo) manifests.Origin {
	out := manifests.Origin{Mode: uint32(info.Mode().Perm()), Modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.UID = st.Uid
	}
	return out
}

// tellOf tells what a look at the directory has brought; after is what is desired with it.
func (c *changes) tellOf(r watch.Round[document], after *manifests.Snapshot) {
	if c.tell == nil {
		return
	}
	found := manifests.Changes(c.before, after)
	at := func(name string) manifests.Change {
		f := found[name]
		f.File = name
		return f
	}
	errors := map[string]manifests.Problems{}
	for _, f := range after.Files {
		errors[f.Name] = f.Problems.Errors()
	}
	for name, l := range r.Loaded {
		c.origins[name] = l.Value.origin
		c.verdict(found, at(name), refusal(errors[name], l.Value.secret))
	}
	for name := range r.Failed {
		delete(c.origins, name)
		c.verdict(found, at(name), refusal(errors[name], false))
	}
	for _, name := range r.Gone {
		f := at(name)
		f.Gone = true
		found[name] = f
		delete(c.origins, name)
		delete(c.refused, name)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		f := found[name]
		f.AtStart = !c.started
		if o, ok := c.origins[name]; ok {
			f.Origin = &o
		}
		c.tell(f)
	}
	c.before, c.started = after, true
}

// verdict notes whether a version was refused. The same refusal again, of a file that was only touched, is not told.
func (c *changes) verdict(found map[string]manifests.Change, f manifests.Change, refused string) {
	if refused == "" {
		delete(c.refused, f.File)
		return
	}
	if c.refused[f.File] == refused {
		return
	}
	c.refused[f.File] = refused
	f.Refused = refused
	found[f.File] = f
}

// refusal says why a file is not used, or not all of it. Of one that may hold Secrets it says only where.
func refusal(errors manifests.Problems, secret bool) string {
	if len(errors) == 0 {
		return ""
	}
	first := errors[0]
	if secret && (first.Line > 0 || first.Path != "") {
		first.Message = "see solopod get manifests"
	}
	if len(errors) > 1 {
		return fmt.Sprintf("%s (and %d more)", first.Error(), len(errors)-1)
	}
	return first.Error()
}
