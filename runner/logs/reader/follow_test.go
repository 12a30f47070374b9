package reader

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/logs/cri"
	"github.com/solopod/solopod/runner/logs/logfile"
)

// numbers is a log whose lines are numbers.
type numbers struct {
	t    *testing.T
	path string
	file *logfile.File
	next int
}

func newNumbers(t *testing.T, limits logfile.Limits) *numbers {
	path := filepath.Join(t.TempDir(), "ctr", "0.log")
	n := &numbers{t: t, path: path, file: logfile.New(path, limits)}
	t.Cleanup(func() { n.file.Close() })
	return n
}

// write writes so many lines more.
func (n *numbers) write(lines int) {
	for range lines {
		text, _ := cri.Format(nil, "stdout", time.Now(), fmt.Appendln(nil, n.next), true)
		if err := n.file.Transaction(text, func(int64) {}, func() {}); err != nil {
			n.t.Error(err)
		}
		n.next++
	}
}

// consecutive checks that lines are numbers without a gap, and returns the first one and the one behind the last.
func consecutive(r io.Reader) (first, next int, err error) {
	first = -1
	sc := bufio.NewScanner(r)
	for ; sc.Scan(); next++ {
		if first < 0 {
			if _, err := fmt.Sscan(sc.Text(), &first); err != nil {
				return 0, 0, err
			}
			next = first
		}
		if sc.Text() != fmt.Sprint(next) {
			return 0, 0, fmt.Errorf("line %d is %q", next, sc.Text())
		}
	}
	return first, next, sc.Err()
}

// Whenever a log is rotated, who follows it misses no line and sees none twice, and sees the last one: also when that has filled a file,
// so that the current one is empty.
func TestFollowWhileRotated(t *testing.T) {
	for name, c := range map[string]struct {
		size  int64
		lines int
	}{"now and then": {2000, 20_000}, "by each line": {1, 300}} {
		log := newNumbers(t, logfile.Limits{MaxSize: c.size, MaxFiles: c.lines + 1})
		log.write(1)
		r, w := io.Pipe()
		ended := make(chan struct{})
		go func() {
			w.CloseWithError(Read(context.Background(), log.path, Options{Tail: -1, Follow: true}, w, ended))
		}()
		go func() {
			defer close(ended)
			log.write(c.lines - 1)
		}()
		if first, next, err := consecutive(r); first != 0 || next != c.lines || err != nil {
			t.Errorf("%s: lines %d to %d, %v", name, first, next, err)
		}
	}
}

// Whenever a log is rotated, who reads it misses no line that was there before.
func TestReadWhileRotated(t *testing.T) {
	const lines = 500
	log := newNumbers(t, logfile.Limits{MaxSize: 300, MaxFiles: lines})
	log.write(20)
	written := make(chan int, 1)
	written <- log.next
	go func() {
		for range lines - 20 {
			log.write(1)
			<-written
			written <- log.next
		}
	}()
	for before := 0; before < lines && !t.Failed(); {
		before = <-written
		written <- before
		for _, tail := range []int{-1, 10} {
			var out bytes.Buffer
			err := Read(context.Background(), log.path, Options{Tail: int64(tail)}, &out, nil)
			first, next, wrong := consecutive(&out)
			if err = errors.Join(err, wrong); err != nil || next < before || tail < 0 && first != 0 || tail > 0 && next-first < tail {
				t.Errorf("the last %d of %d lines: %d to %d, %v", tail, before, first, next, err)
			}
		}
	}
}

// What happens between the look for the last lines and their reading takes none of them away, but with a file that is removed.
func TestRotatedBeforeItIsRead(t *testing.T) {
	const each = 100 // lines of a file, nearly
	for name, c := range map[string]struct {
		tail  int64
		files int // that are kept
		first int // line that is printed; negative: the oldest that is left
	}{
		"all":                          {-1, 100, 0},
		"none":                         {0, 100, 5 * each},
		"some":                         {20, 100, 5*each - 20},
		"most":                         {4 * each, 100, each},
		"most, of which some go":       {4 * each, 5, -1},
		"more than there are, some go": {9 * each, 5, -1},
	} {
		for _, follow := range []bool{false, true} {
			log := newNumbers(t, logfile.Limits{MaxSize: each * 44, MaxFiles: c.files})
			log.write(5 * each)
			want := c.first
			o := Options{Tail: c.tail, Follow: follow, Positioned: func() {
				log.write(3 * each)
				if want < 0 {
					want = log.oldest()
				}
			}}
			ended := make(chan struct{})
			close(ended)
			var out bytes.Buffer
			err := Read(context.Background(), log.path, o, &out, ended)
			first, next, wrong := consecutive(&out)
			if err = errors.Join(err, wrong); err != nil || first != want || next < 5*each || follow && next != log.next {
				t.Errorf("%s, follow %v: lines %d to %d, not from %d on, %v", name, follow, first, next, want, err)
			}
		}
	}
}

// oldest is the first line of the oldest file that is there.
func (n *numbers) oldest() (line int) {
	names, err := filepath.Glob(n.path + ".*")
	if err != nil || len(names) == 0 {
		n.t.Fatal(names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		n.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	if _, err := fmt.Sscan(first[strings.LastIndexByte(first, ' ')+1:], &line); err != nil {
		n.t.Fatal(err)
	}
	return line
}
