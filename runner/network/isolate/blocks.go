package isolate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// blockRanges are the addresses of a block, without its exceptions.
func blockRanges(b *networkingv1.IPBlock) ([]Range, error) {
	whole, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return nil, fmt.Errorf("ipBlock: %w", err)
	}
	left := []Range{rangeOf(whole)}
	for _, e := range b.Except {
		p, err := netip.ParsePrefix(e)
		if err != nil {
			return nil, fmt.Errorf("ipBlock.except: %w", err)
		}
		left = without(left, rangeOf(p))
	}
	return left, nil
}

func rangeOf(p netip.Prefix) Range {
	first := p.Masked().Addr()
	last := first.AsSlice()
	for i := p.Bits(); i < first.BitLen(); i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return Range{first, end}
}

// without takes a range out of others. Of another family nothing is taken.
func without(ranges []Range, hole Range) (out []Range) {
	for _, r := range ranges {
		if hole.First.Is4() != r.First.Is4() || hole.Last.Less(r.First) || r.Last.Less(hole.First) {
			out = append(out, r)
			continue
		}
		if r.First.Less(hole.First) {
			out = append(out, Range{r.First, hole.First.Prev()})
		}
		if hole.Last.Less(r.Last) {
			out = append(out, Range{hole.Last.Next(), r.Last})
		}
	}
	return out
}

// merge sorts ranges of one family, and makes one of those that touch.
func merge(ranges []Range) (out []Range) {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last)) })
	for _, r := range ranges {
		if n := len(out); n > 0 && (!out[n-1].Last.Next().IsValid() || !out[n-1].Last.Next().Less(r.First)) {
			if out[n-1].Last.Less(r.Last) {
				out[n-1].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// mergeSpans is merge for ports.
func mergeSpans(spans []Span) (out []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) })
	for _, s := range spans {
		if n := len(out); n > 0 && int(s.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// everything says whether the ranges are all addresses of their family.
func everything(ranges []Range) bool {
	return len(ranges) == 1 && !ranges[0].First.Prev().IsValid() && !ranges[0].Last.Next().IsValid()
}
