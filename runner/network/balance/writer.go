package balance

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/solopod/solopod/runner/network/nft"
	"github.com/solopod/solopod/runner/served"
)

// Writer writes layouts. It is used by one at a time.
type Writer struct {
	bridge  string
	session nft.Session
	// written is what the kernel has; nil while that is not known. Its chains are those that were ever written: some may not be used any more.
	written *Layout
	// generation is that of the kernel's rules after the last write, 0 when it is not known; rules tells our rules from any others.
	generation uint32
	rules      [2]string
	// sums are of what was counted, last the counters as they were read.
	sums map[string]served.Traffic
	last map[owned]served.Traffic
}

// NewWriter makes one for the tables that belong to the name of a bridge.
func NewWriter(bridge string) *Writer { return &Writer{bridge: bridge} }

// TableName is the name of the tables.
func TableName(bridge string) string { return bridge + "-services" }

func (w *Writer) table(f *family) *nftables.Table {
	return &nftables.Table{Family: f.table, Name: TableName(w.bridge)}
}

// maxElements is how many elements one message takes: the length of their attribute has 16 bits.
const maxElements = 300

// Write writes the difference between a layout and what is there, in one transaction. What an earlier writer has left is taken over, with its
// counters and the clients that stay with their endpoints. The flows lead elsewhere from now on.
func (w *Writer) Write(l *Layout) (Flows, error) {
	if w.written == nil {
		w.adopt(l)
	}
	old := w.written
	if old != nil {
		if old.Empty() && l.Empty() {
			return Flows{}, nil
		}
		kept, err := w.transaction(old, l)
		if err == nil {
			w.written = kept
			return flowsBetween(old, kept), nil
		}
		w.written = nil // somebody has changed it
	}
	kept, err := w.transaction(nil, l)
	if err != nil {
		return Flows{}, fmt.Errorf("cannot write the rules of services (does the kernel have nf_tables?): %w", err)
	}
	w.written = kept
	return flowsBetween(nil, kept), nil
}

// transaction writes what differs from a layout, or with nil all, and returns what the kernel has then.
func (w *Writer) transaction(from, to *Layout) (kept *Layout, err error) {
	defer func() {
		if err != nil || kept.Empty() {
			w.session.Close()
		}
	}()
	c, err := w.session.Conn()
	if err != nil {
		return nil, err
	}
	kept = &Layout{static: to.static, owners: to.owners}
	anyRule, anything := false, false // is there to be written
	for i, f := range families {
		b := newBuilder(f, c, w.table(f))
		h, old := to.families[i], half{}
		if from != nil && from.families[i].empty() == h.empty() && from.static.equal(to.static) {
			old = from.families[i]
		} else {
			gone, err := b.renew(from == nil || !from.families[i].empty(), !h.empty(), to.static)
			if err != nil {
				return nil, err
			}
			if anyRule = anyRule || gone || !h.empty(); h.empty() {
				kept.families[i] = h
				continue
			}
		}
		added, changed, err := b.change(old, h)
		if err != nil {
			return nil, err
		}
		anyRule, anything = anyRule || added, anything || changed
		kept.families[i] = h.with(old)
	}
	if !anyRule && !anything {
		return kept, nil
	}
	return kept, w.flush(c, anyRule)
}

// renew removes the table that there is, or may be, and makes another if one is wanted. gone: there was one.
func (b *builder) renew(there, wanted bool, static static) (gone bool, err error) {
	if there {
		if gone, err = nft.Exists(b.t); err != nil { // a kernel without IPv6 has no such tables
			return false, err
		}
	}
	if gone {
		b.c.DelTable(b.t)
	}
	if !wanted {
		return gone, nil
	}
	b.c.AddTable(b.t)
	return gone, b.build(static)
}

// flush sends a transaction. What of it can be told from what others write is noted.
func (w *Writer) flush(c *nftables.Conn, anyRule bool) error {
	before, errBefore := w.session.Generation()
	w.generation = 0
	if err := c.Flush(); err != nil {
		return err
	}
	if anyRule {
		if err := w.mark(); err != nil {
			return err
		}
	}
	if after, err := w.session.Generation(); err == nil && errBefore == nil && after == before+1 {
		w.generation = after
	}
	return nil
}

func (w *Writer) mark() (err error) {
	for i, f := range families {
		if w.rules[i], err = nft.Fingerprint(w.table(f)); err != nil {
			return err
		}
	}
	return nil
}

// with is a half with the chains of an earlier one.
func (h half) with(old half) half {
	picks, ranges := maps.Clone(h.picks), maps.Clone(h.ranges)
	maps.Copy(picks, old.picks)
	maps.Copy(ranges, old.ranges)
	return half{sets: h.sets, picks: picks, ranges: ranges}
}

// change adds and removes what differs, and says whether there are new chains, and elements that changed. Chains that are not needed any
// more stay: they are few, and kernels have had trouble with a chain that goes in one transaction with what leads to it.
func (b *builder) change(old, h half) (added, changed bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(h.picks)) {
		if _, has := old.picks[name]; !has {
			b.choose(h.picks[name])
			added = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.ranges)) {
		if _, has := old.ranges[name]; !has {
			b.from(name, h.ranges[name])
			added = true
		}
	}
	for _, set := range b.schema() {
		if isClients(set.Name) {
			continue
		}
		gone, come := differ(old.sets[set.Name], h.sets[set.Name])
		own := b.sets[set.Name]
		changed = changed || len(gone)+len(come) > 0
		for part := range slices.Chunk(elements(own, gone, old.sets[set.Name], false), maxElements) {
			if err := b.c.SetDeleteElements(own, part); err != nil {
				return added, true, err
			}
		}
		for part := range slices.Chunk(elements(own, come, h.sets[set.Name], true), maxElements) {
			if err := b.c.SetAddElements(own, part); err != nil {
				return added, true, err
			}
		}
	}
	return added, changed, nil
}

// differ returns the keys that are in the first map only, or with another value, and those of the second.
func differ(old, now map[string]string) (gone, come []string) {
	for key, value := range old {
		if v, has := now[key]; !has || v != value {
			gone = append(gone, key)
		}
	}
	for key, value := range now {
		if v, has := old[key]; !has || v != value {
			come = append(come, key)
		}
	}
	slices.Sort(gone)
	slices.Sort(come)
	return gone, come
}

func elements(set *nftables.Set, keys []string, values map[string]string, whole bool) (out []nftables.SetElement) {
	for _, key := range keys {
		e := nftables.SetElement{Key: []byte(key)}
		switch value := values[key]; {
		case !whole:
		case set.DataType == nftables.TypeVerdict && set.Name == guarded:
			e.VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: value}
		case set.DataType == nftables.TypeVerdict:
			e.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: value}
		case set.IsMap:
			e.Val = []byte(value)
		}
		out = append(out, e)
	}
	return out
}

// adopt takes over what an earlier writer has left, if its rules are those that this one would write.
func (w *Writer) adopt(l *Layout) {
	found := &Layout{static: l.static}
	for i, f := range families {
		h, err := w.read(f, l)
		if err != nil {
			return
		}
		found.families[i] = h
	}
	if w.mark() == nil {
		w.written = found
	}
}

// read returns what the table of a family has; an error where it is not such a table.
func (w *Writer) read(f *family, l *Layout) (half, error) {
	h := half{sets: map[string]map[string]string{}, picks: map[string]pick{}, ranges: map[string][]netip.Prefix{}}
	c, err := nft.Dial()
	if err != nil {
		return h, err
	}
	chains, err := c.ListChainsOfTableFamily(f.table)
	if err != nil && !nft.Unsupported(err) {
		return h, err
	}
	has := map[string]bool{}
	for _, chain := range chains {
		if chain.Table.Name == TableName(w.bridge) {
			has[chain.Name] = true
		}
	}
	if len(has) == 0 {
		return h, nil
	}
	b := newBuilder(f, c, w.table(f)) // nothing is sent
	if err := b.build(l.static); err != nil {
		return h, err
	}
	if !has[b.generation()] {
		return h, errOther
	}
	for name := range has {
		switch p, isPick := parsePick(name); {
		case isPick:
			h.picks[name] = p
			b.choose(p)
		case strings.HasPrefix(name, "from-"):
			list, known := l.families[indexOf(f)].ranges[name]
			if !known {
				return h, errOther
			}
			h.ranges[name] = list
			b.from(name, list)
		}
	}
	rules, err := nft.Rules(b.t)
	if err != nil || len(rules) != b.added {
		return h, cmp.Or(err, errOther)
	}
	h.sets, err = w.readSets(b)
	return h, err
}

var errOther = errors.New("the table is another's, or an earlier version's")

func indexOf(f *family) int { return slices.Index(families, f) }

// readSets reads the elements of all sets but those that packets change.
func (w *Writer) readSets(b *builder) (map[string]map[string]string, error) {
	sets := map[string]map[string]string{}
	for _, set := range b.schema() {
		if isClients(set.Name) {
			continue
		}
		list, err := nft.Elements(b.t, set.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if sets[set.Name] == nil {
				sets[set.Name] = map[string]string{}
			}
			sets[set.Name][e.Key] = e.Value
		}
	}
	return sets, nil
}

// Changed says whether others have changed what was written. What they have left is not known then: the next write writes all.
func (w *Writer) Changed() (bool, error) {
	if w.written == nil || w.written.Empty() {
		return false, nil
	}
	now, err := w.session.Generation()
	if err != nil {
		return false, err
	}
	if now == w.generation {
		return false, nil
	}
	for i, f := range families {
		if w.written.families[i].empty() {
			continue
		}
		rules, err := nft.Fingerprint(w.table(f))
		if err != nil {
			return false, err
		}
		sets, err := w.readSets(newBuilder(f, nil, w.table(f)))
		if err != nil {
			return false, err
		}
		if rules == "" || rules != w.rules[i] || !equal(sets, w.written.families[i].sets) {
			w.written = nil
			return true, nil
		}
	}
	w.generation = now
	return false, nil
}

func equal(a, b map[string]map[string]string) bool {
	for _, names := range []map[string]map[string]string{a, b} {
		for name := range names {
			if !maps.Equal(a[name], b[name]) {
				return false
			}
		}
	}
	return true
}

// isClients: packets change the set, and nobody else.
func isClients(set string) bool { return set == affinity || set == nodeAffinity || set == asking }
