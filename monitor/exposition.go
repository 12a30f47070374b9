package monitor

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// familyRow describes a family: its name, what it means and its type. Adding a metric is adding a row, and where its values come
// from.
type familyRow struct {
	name, help string
	counter    bool
}

// TextFormat is the content type of what an exposition writes: Prometheus' text format.
const TextFormat = "text/plain; version=0.0.4; charset=utf-8"

// exposition keeps the families of an endpoint from one scrape to the next, and of every series the beginning of its line: a
// scrape adds numbers to these. With Prometheus' own library, which makes labels into text anew each time, that took longer than
// the reading of all files. It is not safe for concurrent use.
type exposition struct {
	families []*family // sorted by name
	index    map[string]*family
	series   map[seriesKey]*series
	owners   map[string]*owner
	scrape   uint64
}

type family struct {
	row    familyRow
	header string
	series []*series // of this scrape
}

// seriesKey names one series; extra holds the further labels.
type seriesKey struct{ family, owner, extra string }

type series struct {
	line   []byte // up to the value
	value  float64
	scrape uint64
}

func newExposition(rows []familyRow) *exposition {
	e := &exposition{index: map[string]*family{}}
	e.reset()
	for _, r := range rows {
		kind := "gauge"
		if r.counter {
			kind = "counter"
		}
		f := &family{row: r, header: "# HELP " + r.name + " " + helpEscapes.Replace(r.help) + "\n# TYPE " + r.name + " " + kind + "\n"}
		e.families, e.index[r.name] = append(e.families, f), f
	}
	slices.SortFunc(e.families, func(a, b *family) int { return strings.Compare(a.row.name, b.row.name) })
	return e
}

func (e *exposition) reset() { e.series, e.owners = map[seriesKey]*series{}, map[string]*owner{} }

// begin starts a scrape.
func (e *exposition) begin() {
	e.scrape++
	for _, f := range e.families {
		f.series = f.series[:0]
	}
}

// owner is what samples belong to: a container, a pod, the machine.
type owner struct {
	// key tells it from others.
	key string
	// labels are names and values in turn.
	labels []string
	scrape uint64
}

// owner finds what has this key, or makes it.
func (e *exposition) owner(key string, labels ...string) *owner {
	o := e.owners[key]
	if o == nil {
		o = &owner{key: key, labels: slices.Clone(labels)}
		e.owners[key] = o
	}
	o.scrape = e.scrape
	return o
}

// add gives the scrape a sample of an owner. extra are further labels, names and values in turn.
func (e *exposition) add(name string, o *owner, value float64, extra ...string) {
	key := seriesKey{family: name, owner: o.key}
	switch len(extra) {
	case 0:
	case 2:
		key.extra = extra[1]
	default:
		key.extra = strings.Join(extra, "\x00")
	}
	s := e.series[key]
	if s == nil {
		s = &series{line: beginLine(name, slices.Concat(o.labels, extra))}
		e.series[key] = s
	}
	s.value, s.scrape = value, e.scrape
	f := e.index[name]
	f.series = append(f.series, s)
}

// write ends the scrape: it writes the samples, and forgets what there was no sample of.
func (e *exposition) write(w *bytes.Buffer) {
	for key, o := range e.owners {
		if o.scrape != e.scrape {
			delete(e.owners, key)
		}
	}
	for key, s := range e.series {
		if s.scrape != e.scrape {
			delete(e.series, key)
		}
	}
	for _, f := range e.families {
		if len(f.series) == 0 {
			continue
		}
		w.WriteString(f.header)
		for _, s := range f.series {
			w.Write(s.line)
			w.Write(appendValue(w.AvailableBuffer(), s.value))
			w.WriteByte('\n')
		}
	}
}

// appendValue writes whole numbers without an exponent: it is shorter to make, and to read.
func appendValue(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// The escapes of Prometheus' text format.
var (
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// beginLine is a sample's line up to its value. Labels are names and values in turn, and are sorted by name.
func beginLine(name string, namesAndValues []string) []byte {
	var labels []string
	for i := 0; i < len(namesAndValues); i += 2 {
		labels = append(labels, namesAndValues[i]+`="`+labelEscapes.Replace(namesAndValues[i+1])+`"`)
	}
	slices.Sort(labels)
	if len(labels) == 0 {
		return []byte(name + " ")
	}
	return []byte(name + "{" + strings.Join(labels, ",") + "} ")
}
