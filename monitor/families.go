package monitor

import "github.com/solopod/solopod/monitor/exposition"

// familyRow is a row of an endpoint. It is a type of this package so that a row of a table is written without its fields' names,
// which go vet wants of others' types.
type familyRow[S any] exposition.Row[S]

func newEndpoint[S any](rows []familyRow[S]) *exposition.Endpoint[S] {
	out := make([]exposition.Row[S], len(rows))
	for i, r := range rows {
		out[i] = exposition.Row[S](r)
	}
	return exposition.New(out)
}

// stat adds what the kernel counts, where it does.
func stat(to *exposition.Samples, from *Stats, k key, labels ...string) {
	if from == nil {
		return
	}
	if v, ok := from.get(k); ok {
		to.Add(v, labels...)
	}
}
