package monitor

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// familyRow is a family of metrics: its name, what it means, its type, the names of its labels beside those of its owner, and where
// the values of an owner come from: values adds none, one, or several, each with the values of the labels. Adding a metric is
// adding a row.
type familyRow[S any] struct {
	name, help string
	counter    bool
	labels     []string
	values     func(s *S, to *samples)
}

// TextFormat is the content type of what an exposition writes: Prometheus' text format.
const TextFormat = "text/plain; version=0.0.4; charset=utf-8"

// exposition keeps the families of an endpoint from one scrape to the next, and of every series the beginning of its line: a
// scrape adds numbers to these. With Prometheus' own library, which makes labels into text anew each time, that took longer than
// the reading of all files. S is what values are taken from. It is not safe for concurrent use.
type exposition[S any] struct {
	families []*family[S] // sorted by name
	series   map[seriesKey]*series
	owners   map[string]*owner
	scrape   uint64
}

type family[S any] struct {
	row    familyRow[S]
	header string
	series []*series // of this scrape
}

// seriesKey names one series; extra holds the values of the further labels.
type seriesKey struct{ family, owner, extra string }

type series struct {
	line   []byte // up to the value
	value  float64
	scrape uint64
}

func newExposition[S any](rows []familyRow[S]) *exposition[S] {
	e := &exposition[S]{}
	e.reset()
	for _, r := range rows {
		kind := "gauge"
		if r.counter {
			kind = "counter"
		}
		e.families = append(e.families, &family[S]{
			row: r, header: "# HELP " + r.name + " " + helpEscapes.Replace(r.help) + "\n# TYPE " + r.name + " " + kind + "\n",
		})
	}
	slices.SortFunc(e.families, func(a, b *family[S]) int { return strings.Compare(a.row.name, b.row.name) })
	return e
}

func (e *exposition[S]) reset() { e.series, e.owners = map[seriesKey]*series{}, map[string]*owner{} }

// begin starts a scrape.
func (e *exposition[S]) begin() {
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
func (e *exposition[S]) owner(key string, labels ...string) *owner {
	o := e.owners[key]
	if o == nil {
		o = &owner{key: key, labels: slices.Clone(labels)}
		e.owners[key] = o
	}
	o.scrape = e.scrape
	return o
}

// add gives the scrape the samples of all families that from has for an owner.
func (e *exposition[S]) add(o *owner, from *S) {
	to := samples{known: e.series, scrape: e.scrape, owner: o}
	for _, f := range e.families {
		to.name, to.labels, to.list = f.row.name, f.row.labels, f.series
		f.row.values(from, &to)
		f.series = to.list
	}
}

// samples takes those of one family and one owner.
type samples struct {
	name   string
	labels []string
	owner  *owner
	list   []*series
	known  map[seriesKey]*series
	scrape uint64
}

// add takes a sample. labels are the values of the family's labels, in their order.
func (s *samples) add(value float64, labels ...string) {
	key := seriesKey{family: s.name, owner: s.owner.key}
	switch len(labels) {
	case 0:
	case 1:
		key.extra = labels[0]
	default:
		key.extra = strings.Join(labels, "\x00")
	}
	one := s.known[key]
	if one == nil {
		one = &series{line: beginLine(s.name, s.owner.labels, s.labels, labels)}
		s.known[key] = one
	}
	one.value, one.scrape = value, s.scrape
	s.list = append(s.list, one)
}

// stat adds what the kernel counts, where it does.
func (s *samples) stat(from *Stats, k key, labels ...string) {
	if from == nil {
		return
	}
	if v, ok := from.get(k); ok {
		s.add(v, labels...)
	}
}

// write ends the scrape: it writes the samples, and forgets what there was no sample of.
func (e *exposition[S]) write(w *bytes.Buffer) {
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

// beginLine is a sample's line up to its value. owner holds names and values in turn, names and values the further ones; all are
// sorted by name.
func beginLine(name string, owner, names, values []string) []byte {
	var labels []string
	add := func(name, value string) {
		labels = append(labels, name+`="`+labelEscapes.Replace(strings.ToValidUTF8(value, "\uFFFD"))+`"`)
	}
	for i := 0; i+1 < len(owner); i += 2 {
		add(owner[i], owner[i+1])
	}
	for i := range min(len(names), len(values)) {
		add(names[i], values[i])
	}
	slices.Sort(labels)
	if len(labels) == 0 {
		return []byte(name + " ")
	}
	return []byte(name + "{" + strings.Join(labels, ",") + "} ")
}
