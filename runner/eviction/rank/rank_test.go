package rank

import (
	"reflect"
	"testing"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

const (
	mebi = 1 << 20
	gibi = 1 << 30
)

// The order is what Kubernetes' documentation says: usage over requests, then priority, then by how much; and the cases of it that the
// kubelet's own tests have.
func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		signal threshold.Signal
		pods   []Pod
		want   []string
	}{
		"best-effort and burstable pods over their requests come first, by priority": {threshold.Memory, []Pod{
			{Name: "below-low-priority", Priority: 1, Usage: 400 * mebi, Request: 500 * mebi},
			{Name: "over-high-priority", Priority: 100, Usage: 900 * mebi, Request: 100 * mebi},
			{Name: "best-effort-low-priority", Priority: 1, Usage: 2 * mebi},
		}, []string{"best-effort-low-priority", "over-high-priority", "below-low-priority"}},
		"then by what they use beyond their requests": {threshold.Memory, []Pod{
			{Name: "large-with-large-request", Usage: 1000 * mebi, Request: 900 * mebi},
			{Name: "small-without", Usage: 300 * mebi},
			{Name: "medium", Usage: 500 * mebi, Request: 300 * mebi},
		}, []string{"small-without", "medium", "large-with-large-request"}},
		"guaranteed pods, and others within their requests, are last, by priority and then by usage": {threshold.Memory, []Pod{
			{Name: "guaranteed-high", Priority: 10, Usage: 90 * mebi, Request: 100 * mebi},
			{Name: "guaranteed-near", Usage: 99 * mebi, Request: 100 * mebi},
			{Name: "guaranteed-far", Usage: 10 * mebi, Request: 100 * mebi},
			{Name: "over", Priority: 1000, Usage: 101 * mebi, Request: 100 * mebi},
		}, []string{"over", "guaranteed-near", "guaranteed-far", "guaranteed-high"}},
		"exactly its request is not over it": {threshold.Memory, []Pod{
			{Name: "exact", Usage: 100 * mebi, Request: 100 * mebi}, {Name: "over", Priority: 5, Usage: 100*mebi + 1, Request: 100 * mebi},
		}, []string{"over", "exact"}},
		"critical pods come last, within their order": {threshold.Memory, []Pod{
			{Name: "node-critical", Priority: 2000001000, Usage: 5 * gibi},
			{Name: "cluster-critical", Priority: 2000000000, Usage: 4 * gibi},
			{Name: "guaranteed", Priority: 1000000000, Usage: 2 * mebi, Request: 10 * mebi},
		}, []string{"guaranteed", "cluster-critical", "node-critical"}},
		"equal ones by name": {threshold.Memory, []Pod{
			{Name: "b", UID: "1", Usage: gibi}, {Name: "a", UID: "2", Usage: gibi}, {Name: "a", UID: "1", Usage: gibi},
		}, []string{"a", "a", "b"}},
		"disk, as memory": {threshold.NodeSpace, []Pod{
			{Name: "within", Usage: gibi, Request: 2 * gibi},
			{Name: "over-high", Priority: 7, Usage: 3 * gibi, Request: 2 * gibi},
			{Name: "over", Usage: 10 * mebi},
		}, []string{"over", "over-high", "within"}},
		"what cannot be measured may be what fills the disk, and is behind what does": {threshold.ImageSpace, []Pod{
			{Name: "unknown", Unknown: true}, {Name: "within", Usage: gibi, Request: 2 * gibi}, {Name: "over", Usage: gibi}, {Name: "high", Priority: 1, Usage: 5 * gibi},
		}, []string{"over", "unknown", "high", "within"}},
		"what is too large to be counted comes before what is not": {threshold.NodeSpace, []Pod{
			{Name: "over", Usage: 9 * gibi}, {Name: "many-files", Usage: 5, More: true}, {Name: "in-part", Usage: 5, More: true, Unknown: true}, {Name: "unknown", Unknown: true},
			{Name: "high", Priority: 1, More: true},
		}, []string{"in-part", "many-files", "over", "unknown", "high"}},
		"files by priority, then by their number": {threshold.NodeFiles, []Pod{
			{Name: "most", Usage: 100000}, {Name: "some", Usage: 10000}, {Name: "high", Priority: 1, Usage: 900000},
		}, []string{"most", "some", "high"}},
		"processes by priority, then by their number": {threshold.Processes, []Pod{
			{Name: "few", Usage: 3}, {Name: "bomb", Usage: 9000}, {Name: "high", Priority: 1, Usage: 20000},
		}, []string{"bomb", "few", "high"}},
		"what takes up next to nothing is left alone": {threshold.NodeSpace, []Pod{
			{Name: "idle", Usage: mebi - 1}, {Name: "writer", Usage: mebi},
		}, []string{"writer"}},
		"so are a few files":       {threshold.ImageFiles, []Pod{{Name: "idle", Usage: 99}, {Name: "maker", Usage: 100}}, []string{"maker"}},
		"so is who runs nothing":   {threshold.Processes, []Pod{{Name: "ended"}}, nil},
		"there may be none at all": {threshold.Memory, nil, nil},
	} {
		var got []string
		for _, p := range Order(c.signal, c.pods) {
			got = append(got, p.Name)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

func TestOrderLeavesWhatItGets(t *testing.T) {
	pods := []Pod{{Name: "b", Usage: gibi}, {Name: "a", Usage: 2 * gibi}}
	Order(threshold.Memory, pods)
	if pods[0].Name != "b" {
		t.Error("the caller's pods are sorted")
	}
}
