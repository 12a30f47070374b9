package manifestfiles

import (
	"reflect"
	"testing"
)

// An event tells of each change of the directory once, although the text says how late changes are noticed, which differs.
func TestDirectoryChanges(t *testing.T) {
	well, late, later, gone := directory{}, directory{unwatched: "looked at every 1s"}, directory{unwatched: "looked at every 2s"}, directory{problem: "does not exist"}
	for _, c := range []struct {
		before, now directory
		want        []string
	}{
		{well, well, nil},
		{well, late, []string{"ManifestsUnwatched"}},
		{late, later, nil},
		{later, well, []string{"ManifestsWatched"}},
		{well, gone, []string{"ManifestsUnusable"}},
		{gone, directory{problem: "belongs to another"}, []string{"ManifestsUnusable"}},
		{gone, well, []string{"ManifestsUsable"}},
		{gone, late, []string{"ManifestsUsable", "ManifestsUnwatched"}},
	} {
		var got []string
		for _, change := range c.now.changed(c.before) {
			got = append(got, change.reason)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("from %+v to %+v: %v, not %v", c.before, c.now, got, c.want)
		}
	}
}
