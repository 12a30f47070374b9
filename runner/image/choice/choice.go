// Package choice decides which images go: how much room is wanted, in which order images are had, and why others stay. It does no I/O.
// Settings and order are the kubelet's (pkg/kubelet/images/image_gc_manager.go).
package choice

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Settings say when images are collected.
type Settings struct {
	// High and Low are parts of the disk in percent: where High is used images go until Low is. 100 as High turns that off.
	High, Low int
	// MinAge is how long ago an image must have come to go. MaxAge is for how long one must not have been used to go whatever room there is;
	// zero keeps it.
	MinAge, MaxAge time.Duration
}

// Names of the settings.
const (
	HighSetting   = "imageGCHighThresholdPercent"
	LowSetting    = "imageGCLowThresholdPercent"
	MinAgeSetting = "imageMinimumGCAge"
	MaxAgeSetting = "imageMaximumGCAge"
)

// Default are the kubelet's.
var Default = Settings{High: 85, Low: 80, MinAge: 2 * time.Minute}

// Problem is what is wrong with a setting.
type Problem struct {
	Setting string
	Err     error
}

// Check says what is wrong with settings, as a kubelet does.
func (s Settings) Check() (wrong []Problem) {
	add := func(setting, text string, values ...any) {
		wrong = append(wrong, Problem{setting, fmt.Errorf(text, values...)})
	}
	percent := func(setting string, value int) bool {
		if value < 0 || value > 100 {
			add(setting, "%d is no part of a disk in percent; write a number from 0 to 100", value)
			return false
		}
		return true
	}
	high, low := percent(HighSetting, s.High), percent(LowSetting, s.Low)
	if high && low && s.Low >= s.High {
		add(LowSetting, "%d is not less than %s (%d): images are collected from there down to this; lower it", s.Low, HighSetting, s.High)
	}
	if s.MinAge < 0 {
		add(MinAgeSetting, "it cannot be negative; it is a duration like 2m")
	}
	switch {
	case s.MaxAge < 0:
		add(MaxAgeSetting, "it cannot be negative; it is a duration like 720h, or 0s for none")
	case s.MaxAge > 0 && s.MaxAge <= s.MinAge:
		add(MaxAgeSetting, "%s is not longer than %s (%s); make it longer, or 0s for none", s.MaxAge, MinAgeSetting, s.MinAge)
	}
	return wrong
}

// ByRoom says whether images go where the disk gets full.
func (s Settings) ByRoom() bool { return s.High < 100 }

// Missing is how much of a disk must become free, in bytes: none where less than High is used.
func (s Settings) Missing(available, capacity uint64) uint64 {
	if !s.ByRoom() || capacity == 0 || 100-percentOf(available, capacity) < s.High {
		return 0
	}
	return s.Above(available, capacity)
}

// Above is how much of a disk must become free for Low to be used, in bytes.
func (s Settings) Above(available, capacity uint64) uint64 {
	free := part(100-s.Low, capacity)
	return free - min(free, available)
}

// Left is how much of a disk may still be used until images go, in bytes.
func (s Settings) Left(available, capacity uint64) uint64 {
	free := part(100-s.High, capacity)
	return available - min(available, free)
}

// percentOf is rounded down, as the kubelet's.
func percentOf(n, of uint64) int { return int(100 * (float64(min(n, of)) / float64(of))) }

func part(percent int, of uint64) uint64 { return uint64(float64(of) * float64(percent) / 100) }

// Image is one content, with all of its names.
type Image struct {
	Digest string
	Names  []string
	// Parts are what it takes up, in bytes. Others may have the same.
	Parts map[string]int64
	// Users say who keeps it; none: it may go.
	Users []string
	// Came is when it was first seen, Used when somebody used it last; zero: nobody did since.
	Came, Used time.Time
}

// Size is what an image takes up, in bytes, also where others have the same parts.
func (i Image) Size() (sum int64) {
	for _, n := range i.Parts {
		sum += n
	}
	return sum
}

// Last is when it was used last, as far as that is known.
func (i Image) Last() time.Time {
	if i.Used.After(i.Came) {
		return i.Used
	}
	return i.Came
}

// Wish is what is to go.
type Wish struct {
	// Need is how many bytes are to become free; Everything has no bound.
	Need uint64
	// MinAge is how long ago an image must have come, Unused for how long nobody may have used it.
	MinAge, Unused time.Duration
}

// Everything that may go.
const Everything = math.MaxUint64

// Going is an image that goes, and what becomes free with it when those before it have gone.
type Going struct {
	Image
	Frees int64
}

// Staying is an image that stays, and why.
type Staying struct {
	Image
	Why string
}

// Choice is which images go, the first one first, and which stay, the largest first.
type Choice struct {
	Go   []Going
	Stay []Staying
}

// Frees is what becomes free, in bytes.
func (c Choice) Frees() (sum uint64) {
	for _, g := range c.Go {
		sum += uint64(max(g.Frees, 0))
	}
	return sum
}

// Choose decides. Those go first that were used the longest ago, and of those that came the longest ago.
func Choose(images []Image, w Wish, now time.Time) (c Choice) {
	shared := map[string]int{}
	for _, i := range images {
		for p := range i.Parts {
			shared[p]++
		}
	}
	sorted := slices.Clone(images)
	slices.SortFunc(sorted, func(a, b Image) int {
		return cmp.Or(a.Last().Compare(b.Last()), a.Came.Compare(b.Came), cmp.Compare(a.Digest, b.Digest))
	})
	freed := uint64(0)
	for _, i := range sorted {
		why := keeps(i, w, now)
		if why == "" && freed >= w.Need {
			why = "there is room enough without it"
		}
		if why != "" {
			c.Stay = append(c.Stay, Staying{i, why})
			continue
		}
		g := Going{Image: i}
		for p, n := range i.Parts {
			if shared[p]--; shared[p] == 0 {
				g.Frees += n
			}
		}
		freed += uint64(max(g.Frees, 0))
		c.Go = append(c.Go, g)
	}
	slices.SortStableFunc(c.Stay, func(a, b Staying) int { return cmp.Compare(b.Size(), a.Size()) })
	return c
}

// keeps says why an image stays, whatever room there is; empty where it may go.
func keeps(i Image, w Wish, now time.Time) string {
	came, unused := since(now, i.Came), since(now, i.Last())
	switch {
	case len(i.Users) > 0:
		return "used by " + few(i.Users)
	case came < w.MinAge:
		return fmt.Sprintf("it came %s ago, less than %s", came.Round(time.Second), w.MinAge)
	case w.Unused > 0 && unused <= w.Unused:
		return fmt.Sprintf("it was used %s ago, not longer than %s", unused.Round(time.Second), w.Unused)
	}
	return ""
}

// since is never negative: a clock may have been set back.
func since(now, at time.Time) time.Duration { return max(now.Sub(at), 0) }

// most users are named.
const most = 3

func few(users []string) string {
	if len(users) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(users[:most], ", "), len(users)-most)
	}
	return strings.Join(users, ", ")
}

// Holders say what images take up that stay, the largest first, as people read it.
func (c Choice) Holders(size func(int64) string) string {
	var out []string
	for _, s := range c.Stay[:min(most, len(c.Stay))] {
		out = append(out, fmt.Sprintf("%s (%s, %s)", first(s.Image), size(s.Size()), s.Why))
	}
	if more := len(c.Stay) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	if len(out) == 0 {
		return "no image is there"
	}
	return "images that stay: " + strings.Join(out, "; ")
}

// first is a name of an image for people.
func first(i Image) string {
	if len(i.Names) == 0 {
		return i.Digest
	}
	return i.Names[0]
}
