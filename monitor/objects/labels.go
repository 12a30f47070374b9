package objects

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	noLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)
	hump    = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// objectLabels makes an object's labels into a metric's, as kube-state-metrics does: app.kubernetes.io/partOf is
// label_app_kubernetes_io_part_of, and labels that come to the same name are told apart by _conflict1, _conflict2 and so on.
func objectLabels(of map[string]string) (names, values []string) {
	name := func(key string) string {
		return "label_" + strings.ToLower(hump.ReplaceAllString(noLabel.ReplaceAllString(key, "_"), "${1}_${2}"))
	}
	keys := slices.Sorted(maps.Keys(of))
	count := map[string]int{}
	for _, key := range keys {
		count[name(key)]++
	}
	taken := map[string]bool{}
	for _, key := range keys {
		n := name(key)
		if count[n] > 1 || taken[n] { // also by one of several whose name has become another's
			n = free(n, taken)
		}
		taken[n] = true
		names, values = append(names, n), append(values, of[key])
	}
	return names, values
}

// free is a name of its own for one of several labels.
func free(name string, taken map[string]bool) string {
	for i := 1; ; i++ {
		if n := name + "_conflict" + strconv.Itoa(i); !taken[n] {
			return n
		}
	}
}
