package choice

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		s    Settings
		want string
	}{
		"the defaults":           {Default, ""},
		"from one percent on":    {Settings{High: 1}, ""},
		"off":                    {Settings{High: 100, Low: 80}, ""},
		"an age":                 {Settings{High: 85, Low: 80, MinAge: time.Minute, MaxAge: time.Hour}, ""},
		"the same":               {Settings{High: 80, Low: 80}, LowSetting + ": 80 is not less than imageGCHighThresholdPercent (80)"},
		"the wrong way":          {Settings{High: 80, Low: 90}, LowSetting + ": 90 is not less than"},
		"too much":               {Settings{High: 101, Low: 80}, HighSetting + ": 101 is no part"},
		"less than nothing":      {Settings{High: 80, Low: -1}, LowSetting + ": -1 is no part"},
		"a negative age":         {Settings{High: 80, MinAge: -1}, MinAgeSetting + ": it cannot be negative"},
		"a negative bound":       {Settings{High: 80, MaxAge: -1}, MaxAgeSetting + ": it cannot be negative"},
		"a bound of the minimum": {Settings{High: 80, MinAge: time.Hour, MaxAge: time.Hour}, MaxAgeSetting + ": 1h0m0s is not longer than imageMinimumGCAge (1h0m0s)"},
	} {
		got := ""
		for _, p := range c.s.Check() {
			got += p.Setting + ": " + p.Err.Error()
		}
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// The numbers are those of the kubelet's documentation: from the high threshold on images go until the low one is met.
func TestMissing(t *testing.T) {
	const g = 1 << 30
	for _, c := range []struct {
		high, low           int
		available, capacity uint64
		want, left          uint64
	}{
		{85, 80, 20, 100, 0, 5},
		{85, 80, 16, 100, 0, 1},
		{85, 80, 15, 100, 5, 0},
		{85, 80, 0, 100, 20, 0},
		{85, 80, 150, 1000, 50, 0},
		{90, 80, 5 * g, 100 * g, 15 * g, 0},
		{100, 80, 0, 100, 0, 0}, // off
		{85, 80, 0, 0, 0, 0},    // it is not known
		{85, 80, 200, 100, 0, 185},
		{0, -1, 100, 100, 1, 0},
	} {
		s := Settings{High: c.high, Low: c.low}
		if got := s.Missing(c.available, c.capacity); got != c.want {
			t.Errorf("%+v: %d are missing", c, got)
		}
		if got := s.Left(c.available, c.capacity); got != c.left {
			t.Errorf("%+v: %d are left", c, got)
		}
	}
}

var now = time.Unix(1_000_000, 0)

// ago are images, by when each came and was used last, in minutes.
func ago(name string, came, used int, users ...string) Image {
	i := Image{Digest: name, Names: []string{name + ":1"}, Came: now.Add(-time.Duration(came) * time.Minute), Users: users, Parts: map[string]int64{name: 100}}
	if used >= 0 {
		i.Used = now.Add(-time.Duration(used) * time.Minute)
	}
	return i
}

// with gives an image parts.
func (i Image) with(parts map[string]int64) Image {
	i.Parts = parts
	return i
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		images []Image
		wish   Wish
		goes   string
		stays  string
	}{
		"none": {},
		"the one that was used the longest ago, until there is enough": {
			[]Image{ago("late", 90, 10), ago("early", 90, 60), ago("middle", 90, 30)}, Wish{Need: 150},
			"early 100, middle 100", "late: there is room enough without it",
		},
		"exactly enough": {[]Image{ago("a", 90, 30), ago("b", 90, 20)}, Wish{Need: 100}, "a 100", "b: there is room enough without it"},
		"of those that were used at once the one that came first": {
			[]Image{ago("new", 50, 30), ago("old", 90, 30)}, Wish{Need: 1}, "old 100", "new: there is room enough without it",
		},
		"of those that came at once too, always the same": {[]Image{ago("b", 9, 9), ago("a", 9, 9)}, Wish{Need: 1}, "a 100", "b: there is room enough without it"},
		"what nobody has used counts from when it came": {
			[]Image{ago("came lately", 20, -1), ago("used before", 90, 30), ago("came before", 60, -1)}, Wish{Need: Everything},
			"came before 100, used before 100, came lately 100", "",
		},
		"what is used stays, whatever is needed": {
			[]Image{ago("used", 90, 80, "pod default/web"), ago("free", 90, 1)}, Wish{Need: Everything}, "free 100", "used: used by pod default/web",
		},
		"some of many users are named": {
			[]Image{ago("used", 9, 9, "a", "b", "c", "d", "e")}, Wish{Need: Everything}, "", "used: used by a, b, c and 2 more",
		},
		"what came just now stays": {
			[]Image{ago("new", 1, -1), ago("old", 3, -1)}, Wish{Need: Everything, MinAge: 2 * time.Minute},
			"old 100", "new: it came 1m0s ago, less than 2m0s",
		},
		"the minimum age itself is enough": {[]Image{ago("a", 2, -1)}, Wish{Need: Everything, MinAge: 2 * time.Minute}, "a 100", ""},
		"by age": {
			[]Image{ago("never used", 90, -1), ago("used", 90, 10), ago("at the bound", 90, 60)}, Wish{Need: Everything, Unused: time.Hour},
			"never used 100", "at the bound: it was used 1h0m0s ago, not longer than 1h0m0s; used: it was used 10m0s ago, not longer than 1h0m0s",
		},
		"nothing is needed": {[]Image{ago("a", 90, 80)}, Wish{}, "", "a: there is room enough without it"},
		"of a time that has yet to come": {
			[]Image{ago("a", -10, -1)}, Wish{Need: Everything, MinAge: time.Minute}, "", "a: it came 0s ago, less than 1m0s",
		},
		"what others share becomes free with the last": {
			[]Image{
				ago("a", 90, 30).with(map[string]int64{"base": 1000, "a": 1}), ago("b", 90, 20).with(map[string]int64{"base": 1000, "b": 2}),
			}, Wish{Need: 1000}, "a 1, b 1002", "",
		},
		"what one that is used shares does not become free": {
			[]Image{
				ago("a", 90, 30).with(map[string]int64{"base": 1000, "a": 1}), ago("b", 90, 20, "pod x/y").with(map[string]int64{"base": 1000, "b": 2}),
				ago("c", 90, 10).with(map[string]int64{"base": 1000}),
			}, Wish{Need: Everything}, "a 1, c 0", "b: used by pod x/y",
		},
		"the largest that stays is told first": {
			[]Image{ago("small", 1, 1, "x"), ago("large", 1, 1, "x").with(map[string]int64{"l": 500})}, Wish{Need: Everything}, "", "large: used by x; small: used by x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Choose(c.images, c.wish, now)
			var goes, stays []string
			freed := uint64(0)
			for _, g := range got.Go {
				goes = append(goes, fmt.Sprintf("%s %d", g.Digest, g.Frees))
				freed += uint64(g.Frees)
			}
			for _, s := range got.Stay {
				stays = append(stays, s.Digest+": "+s.Why)
			}
			if g, s := strings.Join(goes, ", "), strings.Join(stays, "; "); g != c.goes || s != c.stays || got.Frees() != freed {
				t.Errorf("%q goes and %q stays; %d become free", g, s, got.Frees())
			}
		})
	}
}

// Who is used is never chosen, in any order of the images, and the choice does not change what it was given.
func TestChooseLeavesImagesAlone(t *testing.T) {
	images := []Image{ago("b", 90, 20), ago("a", 90, 30, "x")}
	before := []Image{ago("b", 90, 20), ago("a", 90, 30, "x")}
	Choose(images, Wish{Need: Everything}, now)
	if !reflect.DeepEqual(images, before) {
		t.Errorf("they are %v", images)
	}
}

func TestHolders(t *testing.T) {
	size := func(n int64) string { return fmt.Sprint(n, " bytes") }
	if got := (Choice{}).Holders(size); got != "no image is there" {
		t.Error(got)
	}
	c := Choose([]Image{ago("a", 1, 1, "pod x"), ago("b", 1, 1, "pod y"), ago("c", 1, 1, "pod z"), ago("d", 1, 1, "pod u")}, Wish{Need: Everything}, now)
	want := "images that stay: a:1 (100 bytes, used by pod x); b:1 (100 bytes, used by pod y); c:1 (100 bytes, used by pod z); 1 more"
	if got := c.Holders(size); got != want {
		t.Error(got)
	}
}
