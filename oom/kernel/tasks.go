package kernel

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/solopod/solopod/oom/record"
)

// mostTasks is how many processes of a dump are kept, the largest.
const mostTasks = 10

// tasks is a dump's table of processes:
//
//	[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
//	[  23794]     0 23794     8255     6703     5788      915         0   106496        0             0 plain
//
// Before 6.8 there are fewer columns, before 4.15 others. Sizes are in pages, but for those that say something else.
type tasks struct {
	columns []string
	list    []task
}

type task struct {
	process record.Process
	tables  int64
}

// mostColumns bounds the table.
const mostColumns = 20

// line takes a line of the table; it is false for others.
func (t *tasks) line(text string, page int64) bool {
	rest, ok := strings.CutPrefix(text, "[")
	if !ok {
		return strings.HasPrefix(text, "Tasks state ")
	}
	number, rest, ok := strings.Cut(rest, "]")
	number = strings.TrimSpace(number)
	if !ok {
		return false
	}
	if number == "pid" {
		columns := strings.Fields(rest)
		if len(columns) > 1 && len(columns) <= mostColumns && columns[len(columns)-1] == "name" {
			t.columns = columns[:len(columns)-1]
		}
		return true
	}
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 0 || t.columns == nil {
		return false
	}
	if found, ok := t.row(rest, page); ok {
		found.process.PID = pid
		t.keep(found)
	}
	return true
}

// row reads the numbers, and the name behind them, which is all that is left.
func (t *tasks) row(text string, page int64) (out task, ok bool) {
	for _, column := range t.columns {
		text = strings.TrimLeft(text, " ")
		number, rest, found := strings.Cut(text, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if !found || err != nil {
			return out, false
		}
		text = rest
		switch column {
		case "rss":
			out.process.RSS = pages(n, page)
		case "swapents":
			out.process.Swap = pages(n, page)
		case "pgtables_bytes":
			out.tables = pages(n, 1)
		case "oom_score_adj":
			out.process.Score = score(n)
		}
	}
	out.process.Name = readable(text)
	return out, isName(text)
}

func pages(n, page int64) int64 {
	if n < 0 || page <= 0 || n >= most/page {
		return 0
	}
	return n * page
}

// size is what the kernel goes by when it chooses whom to kill, but for the scores.
func (t task) size() int64 { return t.process.RSS + t.process.Swap + t.tables }

func (t *tasks) keep(found task) {
	at, _ := slices.BinarySearchFunc(t.list, found, func(a, b task) int { // equal ones stay in the kernel's order
		if order := cmp.Compare(b.size(), a.size()); order != 0 {
			return order
		}
		return -1
	})
	if at >= mostTasks {
		return
	}
	t.list = slices.Insert(t.list, at, found)
	t.list = t.list[:min(len(t.list), mostTasks)]
}

func (t *tasks) largest() (out []record.Process) {
	for _, found := range t.list {
		out = append(out, found.process)
	}
	return out
}

// tables is the size of a process' page tables; 0 where it is not known.
func (t *tasks) tables(pid int) int64 {
	for _, found := range t.list {
		if found.process.PID == pid {
			return found.tables
		}
	}
	return 0
}
