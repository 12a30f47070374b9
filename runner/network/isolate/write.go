package isolate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/solopod/solopod/runner/network/nft"
)

// TableName is the name of an instance's tables; bridge is the name of its own bridge.
func TableName(bridge string) string { return bridge + "-policies" }

// ErrNoFrames says that the kernel has no tables for bridges (CONFIG_NF_TABLES_BRIDGE).
var ErrNoFrames = errors.New("the kernel has no nftables for bridges (CONFIG_NF_TABLES_BRIDGE), so that pods of one bridge reach each other past all rules")

// maxElements is how many elements one message takes: the length of their attribute has 16 bits.
const maxElements = 500

// Write has the kernel go over from some rules to others, in one transaction. Of the former it writes the difference; nil means that they are
// not known, and all is written anew.
func Write(bridge string, former, r *Rules) error {
	tables := r.tables()
	if r.Empty() && former == nil {
		return remove(bridge, tables)
	}
	before := make([]table, len(tables))
	if former != nil {
		before = former.tables()
	}
	err := write(bridge, tables, before, former != nil)
	if former != nil || !nft.Unsupported(err) {
		return err
	}
	// A kernel without IPv6, or without tables for bridges, has none that would have to go either.
	needed := slices.DeleteFunc(slices.Clone(tables), func(t table) bool { return len(t.sets) == 0 })
	if err := write(bridge, needed, make([]table, len(needed)), false); err != nil {
		if nft.Unsupported(err) && slices.ContainsFunc(needed, func(t table) bool { return t.family == nftables.TableFamilyBridge }) {
			return fmt.Errorf("%w: %w", ErrNoFrames, err)
		}
		return err
	}
	return nil
}

// remove takes away what there is. Where there is nothing the kernel need not even load what it would take.
func remove(bridge string, tables []table) error {
	var errs []error
	for _, t := range tables {
		mark, err := nft.Fingerprint(&nftables.Table{Family: t.family, Name: TableName(bridge)})
		if mark != "" {
			err = write(bridge, []table{t}, make([]table, 1), false)
		}
		if !nft.Unsupported(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func write(bridge string, tables, before []table, differences bool) error {
	c, err := nft.Dial()
	if err != nil {
		return err
	}
	changes := false
	for i, t := range tables {
		w := writer{Conn: c, table: &nftables.Table{Family: t.family, Name: TableName(bridge)}}
		old := before[i]
		if !differences || len(t.sets) == 0 && len(old.sets) > 0 {
			c.AddTable(w.table) // so that the deletion cannot fail
			c.DelTable(w.table)
			old, w.changes = table{}, true
		}
		if len(t.sets) > 0 {
			if len(old.sets) == 0 {
				c.AddTable(w.table)
				w.changes = true
			}
			if err := w.change(old, t); err != nil {
				return err
			}
		}
		changes = changes || w.changes
	}
	if !changes {
		return nil
	}
	return c.Flush()
}

// writer writes one table.
type writer struct {
	*nftables.Conn
	table   *nftables.Table
	changes bool
}

// change writes what differs. What is referred to is there before what refers to it, and goes behind it.
func (w *writer) change(old, t table) error {
	for _, name := range t.names() {
		if _, had := old.sets[name]; had {
			continue
		}
		if err := w.AddSet(w.set(name, t.sets[name]), nil); err != nil {
			return err
		}
	}
	w.addChains(old, t)
	for _, name := range t.names() {
		if err := w.elements(name, old.sets[name], t.sets[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.chains)) {
		if _, has := t.chains[name]; !has {
			w.DelChain(&nftables.Chain{Table: w.table, Name: name})
			w.changes = true
		}
	}
	for _, name := range old.names() {
		if _, has := t.sets[name]; !has {
			w.DelSet(w.set(name, old.sets[name]))
			w.changes = true
		}
	}
	return nil
}

func (w *writer) set(name string, s set) *nftables.Set {
	w.changes = true
	out := &nftables.Set{ID: nft.NewSetID(), Table: w.table, Name: name, KeyType: s.key, Interval: s.interval, IsMap: s.verdicts}
	if s.key.Name == nftables.TypeIFName.Name {
		out.KeyByteOrder = binaryutil.NativeEndian // nft(8) shows no names otherwise
	}
	if s.verdicts {
		out.DataType = nftables.TypeVerdict
	}
	return out
}

// addChains adds chains before their rules: these jump from one to another.
func (w *writer) addChains(old, t table) {
	var added []string
	for _, name := range slices.Sorted(maps.Keys(t.chains)) {
		if _, had := old.chains[name]; !had {
			added = append(added, name)
		}
	}
	chains := map[string]*nftables.Chain{}
	for _, name := range added {
		c := &nftables.Chain{Table: w.table, Name: name}
		if hook := t.chains[name].hook; hook != nil {
			c.Hooknum, c.Type, c.Priority = hook, nftables.ChainTypeFilter, nftables.ChainPriorityRef(nftables.ChainPriority(t.chains[name].priority))
		}
		chains[name] = w.AddChain(c)
		w.changes = true
	}
	for _, name := range added {
		for _, exprs := range t.chains[name].rules {
			w.AddRule(&nftables.Rule{Table: w.table, Chain: chains[name], Exprs: exprs})
		}
	}
}

// elements takes away and adds.
func (w *writer) elements(name string, old, s set) error {
	var gone, added []nftables.SetElement
	for _, key := range slices.Sorted(maps.Keys(old.elements)) {
		if e := old.elements[key]; !equal(e, s.elements[key]) {
			gone = append(gone, e.written(old.verdicts))
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.elements), strings.Compare) {
		if e := s.elements[key]; !equal(e, old.elements[key]) {
			added = append(added, e.written(s.verdicts))
		}
	}
	to := &nftables.Set{Table: w.table, Name: name, KeyType: s.key, Interval: s.interval, IsMap: s.verdicts}
	for part := range slices.Chunk(gone, maxElements) {
		w.changes = true
		if err := w.SetDeleteElements(to, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(added, maxElements) {
		w.changes = true
		if err := w.SetAddElements(to, part); err != nil {
			return err
		}
	}
	return nil
}

func equal(a, b element) bool {
	return string(a.key) == string(b.key) && a.end == b.end && a.to == b.to
}

func (e element) written(verdict bool) nftables.SetElement {
	out := nftables.SetElement{Key: e.key, IntervalEnd: e.end}
	if verdict {
		out.VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: e.to}
	}
	return out
}

// Look returns what tells the kernel's tables from others than those that Write has written for the rules.
func Look(bridge string, r *Rules) (mark string, err error) {
	var marks []string
	for _, t := range r.tables() {
		m, err := nft.Fingerprint(&nftables.Table{Family: t.family, Name: TableName(bridge)}, t.names()...)
		if err != nil {
			return "", err
		}
		if m == "" && len(t.sets) > 0 {
			return "", nil
		}
		marks = append(marks, m)
	}
	return strings.Join(marks, " "), nil
}
