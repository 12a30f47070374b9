// Package exposition writes metrics in Prometheus' text format, from tables of families. It knows nothing of what is measured, and
// reads nothing.
package exposition

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Row is a family of metrics. Adding a metric is adding a row.
type Row[S any] struct {
	Name, Help string
	// Counter says that it only grows; it is a gauge otherwise.
	Counter bool
	// Labels are the names of the family's labels beside those of its owner.
	Labels []string
	// Values adds an owner's values: none, one, or several, each with the values of the labels.
	Values func(s *S, to *Samples)
}

// ContentType is that of what an Endpoint writes: Prometheus' text format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Endpoint keeps the families of an endpoint from one scrape to the next, and of every series the beginning of its line: a scrape
// adds numbers to these. With Prometheus' own library, which makes labels into text anew each time, that took longer than the
// reading of all files. S is what values are taken from. It is not safe for concurrent use.
type Endpoint[S any] struct {
	families []*family[S] // sorted by name
	series   map[seriesKey]*series
	owners   map[string]*Owner
	scrape   uint64
}

type family[S any] struct {
	row    Row[S]
	header string
	series []*series // of this scrape
}

// seriesKey names one series; extra holds the values of the further labels.
type seriesKey struct{ family, owner, extra string }

type series struct {
	line   []byte // up to the value
	value  float64
	scrape uint64
	// family and extra are those of its key.
	family, extra string
}

// is says whether it is the series of a family with these values of the further labels.
func (s *series) is(family string, labels []string) bool {
	if s.family != family {
		return false
	}
	rest := s.extra
	for i, l := range labels {
		if i > 0 {
			var separated bool
			if rest, separated = strings.CutPrefix(rest, separator); !separated {
				return false
			}
		}
		var found bool
		if rest, found = strings.CutPrefix(rest, l); !found {
			return false
		}
	}
	return rest == ""
}

// separator stands between the values of further labels in a key.
const separator = "\x00"

// New makes an Endpoint with these families.
func New[S any](rows []Row[S]) *Endpoint[S] {
	e := &Endpoint[S]{}
	e.Reset()
	for _, r := range rows {
		kind := "gauge"
		if r.Counter {
			kind = "counter"
		}
		e.families = append(e.families, &family[S]{
			row: r, header: "# HELP " + r.Name + " " + helpEscapes.Replace(r.Help) + "\n# TYPE " + r.Name + " " + kind + "\n",
		})
	}
	slices.SortFunc(e.families, func(a, b *family[S]) int { return strings.Compare(a.row.Name, b.row.Name) })
	return e
}

// Reset forgets all series.
func (e *Endpoint[S]) Reset() {
	e.series, e.owners = map[seriesKey]*series{}, map[string]*Owner{}
	e.scrape++ // so that owners that are kept do not take up series of before
}

// Begin starts a scrape.
func (e *Endpoint[S]) Begin() {
	e.scrape++
	for _, f := range e.families {
		f.series = f.series[:0]
	}
}

// Owner is what samples belong to: a container, a pod, the machine.
type Owner struct {
	// key tells it from others.
	key string
	// labels are names and values in turn.
	labels []string
	scrape uint64
	// before are the series of its last samples, in their order: as a rule the next scrape has the same ones, and none needs to be looked up.
	before []*series
}

// NewOwner makes an owner that the caller keeps, for what outlives scrapes. labels are names and values in turn.
func NewOwner(key string, labels ...string) *Owner {
	return &Owner{key: key, labels: slices.Clone(labels)}
}

// Owner finds what has this key, or makes it. labels are names and values in turn; they are those of the first time, until a scrape
// adds nothing for it.
func (e *Endpoint[S]) Owner(key string, labels ...string) *Owner {
	o := e.owners[key]
	if o == nil {
		o = NewOwner(key, labels...)
		e.owners[key] = o
	}
	o.scrape = e.scrape
	return o
}

// Find is Owner for one that may not be known; nil then. It spares whoever asks the making of labels.
func (e *Endpoint[S]) Find(key string) *Owner {
	o := e.owners[key]
	if o != nil {
		o.scrape = e.scrape
	}
	return o
}

// Rows are the families, sorted by name.
func (e *Endpoint[S]) Rows() []Row[S] {
	out := make([]Row[S], len(e.families))
	for i, f := range e.families {
		out[i] = f.row
	}
	return out
}

// Add gives the scrape the samples of all families that from has for an owner.
func (e *Endpoint[S]) Add(o *Owner, from *S) {
	to := Samples{known: e.series, scrape: e.scrape, owner: o}
	for _, f := range e.families {
		to.name, to.labels, to.list = f.row.Name, f.row.Labels, f.series
		f.row.Values(from, &to)
		f.series = to.list
	}
}

// Samples takes those of one family and one owner.
type Samples struct {
	name   string
	labels []string
	owner  *Owner
	list   []*series
	known  map[seriesKey]*series
	scrape uint64
	// next is the place in the owner's series of before.
	next int
}

// Add takes a sample. labels are the values of the family's labels, in their order. The same labels twice are one sample, the last one:
// two would spoil the whole scrape.
func (s *Samples) Add(value float64, labels ...string) {
	one := s.find(labels)
	if one.scrape == s.scrape {
		one.value = value
		return
	}
	one.value, one.scrape = value, s.scrape
	s.list = append(s.list, one)
}

// find finds the series of a sample, or makes it.
func (s *Samples) find(labels []string) *series {
	before, place := s.owner.before, s.next
	s.next++
	if place < len(before) && before[place].scrape+1 == s.scrape && before[place].is(s.name, labels) {
		return before[place]
	}
	key := seriesKey{family: s.name, owner: s.owner.key}
	switch len(labels) {
	case 0:
	case 1:
		key.extra = labels[0]
	default:
		key.extra = strings.Join(labels, separator)
	}
	one := s.known[key]
	if one == nil {
		one = &series{line: beginLine(s.name, s.owner.labels, s.labels, labels), family: s.name, extra: key.extra}
		s.known[key] = one
	}
	if place < len(before) {
		before[place] = one
	} else {
		s.owner.before = append(before, one)
	}
	return one
}

// Write ends the scrape: it writes the samples, and forgets what there was no sample of.
func (e *Endpoint[S]) Write(w *bytes.Buffer) {
	for key, o := range e.owners {
		if o.scrape != e.scrape {
			delete(e.owners, key)
		}
	}
	written := 0
	for _, f := range e.families {
		written += len(f.series)
	}
	if written < len(e.series) {
		maps.DeleteFunc(e.series, func(_ seriesKey, s *series) bool { return s.scrape != e.scrape })
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

// Text is what a label's value is that may not be UTF-8, which no label can be: other bytes are written as \xff. Names of files and of network
// interfaces are any bytes.
func Text(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	var out strings.Builder
	for rest := value; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&out, `\x%02x`, rest[0])
		} else {
			out.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return out.String()
}

// beginLine is a sample's line up to its value. owner holds names and values in turn, names and values the further ones; all are
// sorted by name.
func beginLine(name string, owner, names, values []string) []byte {
	var labels []string
	add := func(name, value string) {
		labels = append(labels, name+`="`+labelEscapes.Replace(Text(value))+`"`)
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
