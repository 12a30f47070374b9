package balance

import (
	"github.com/solopod/solopod/runner/network/nft"
	"github.com/solopod/solopod/runner/served"
)

// Traffic adds up what the kernel has counted, by service. What was counted for ports that are gone, and before the rules were written anew,
// stays in the sums, as far as it was asked for before.
func (w *Writer) Traffic() (map[string]served.Traffic, error) {
	if w.written == nil || w.written.Empty() {
		return map[string]served.Traffic{}, nil
	}
	if w.sums == nil {
		w.sums, w.last = map[string]served.Traffic{}, map[owned]served.Traffic{}
	}
	last := make(map[owned]served.Traffic, len(w.last))
	for i, f := range families {
		if w.written.families[i].empty() {
			continue
		}
		sets := []string{counts}
		for _, p := range counted {
			sets = append(sets, nodeCount(p))
		}
		for _, set := range sets {
			list, err := nft.Elements(w.table(f), set)
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				at := owned{f.is4, set, e.Key}
				owner, known := w.written.owners[at]
				if !known {
					continue
				}
				now := served.Traffic{Packets: e.Packets, Bytes: e.Bytes}
				w.sums[owner] = grown(w.sums[owner], w.last[at], now)
				last[at] = now
			}
		}
	}
	w.last = last
	out := make(map[string]served.Traffic, len(w.sums))
	for _, owner := range w.written.owners {
		out[owner] = w.sums[owner]
	}
	for owner := range w.sums {
		if _, served := out[owner]; !served {
			delete(w.sums, owner)
		}
	}
	return out, nil
}

// grown adds to a sum what a counter has grown; one that is smaller than before has begun anew.
func grown(sum, last, now served.Traffic) served.Traffic {
	if now.Packets < last.Packets || now.Bytes < last.Bytes {
		last = served.Traffic{}
	}
	return served.Traffic{Packets: sum.Packets + now.Packets - last.Packets, Bytes: sum.Bytes + now.Bytes - last.Bytes}
}
