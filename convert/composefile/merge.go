package composefile

import (
	"slices"
	"strings"

	"github.com/solopod/solopod/convert/tree"
)

// pairs are keys of a service that may be lists of NAME=value, and are maps here.
var pairs = []string{"environment", "labels", "annotations", "sysctls"}

// normalize gives the parts of a service that may be written in several ways one form each, so that they can be merged.
func normalize(service *tree.Node) {
	for _, key := range pairs {
		asMap(service.Get(key), "=")
	}
	asMap(service.Get("deploy").Get("labels"), "=")
	asMap(service.Get("networks"), "")
	depends := service.Get("depends_on")
	asMap(depends, "")
	if depends != nil {
		for i, e := range depends.Entries {
			if e.Value.Kind == tree.Null {
				condition := &tree.Node{Place: e.Place, Kind: tree.Map}
				condition.Set("condition", condition.Str("service_started"))
				depends.Entries[i].Value = condition
			}
		}
	}
	if e := service.Get("extends"); e != nil && e.Kind == tree.Scalar {
		m := &tree.Node{Place: e.Place, Dir: e.Dir, Kind: tree.Map}
		m.Set("service", e)
		service.Set("extends", m)
	}
}

// asMap makes a list of NAME=value a map, or a list of names one of nulls.
func asMap(n *tree.Node, separator string) {
	if n == nil || n.Kind != tree.List {
		return
	}
	n.Kind = tree.Map
	at := make(map[string]int, len(n.Items))
	for _, item := range n.Items {
		v := &tree.Node{Place: item.Place, Dir: item.Dir}
		key := item.Text()
		if separator != "" {
			name, value, ok := strings.Cut(key, separator)
			if key = name; ok {
				v = item.Str(value)
			}
		}
		if i, twice := at[key]; twice { // the last one wins
			n.Entries[i].Value = nil
		}
		at[key] = len(n.Entries)
		n.Entries = append(n.Entries, tree.Entry{Place: v.Place, Key: key, Value: v})
	}
	n.Entries = slices.DeleteFunc(n.Entries, func(e tree.Entry) bool { return e.Value == nil })
	n.Items = nil
}

// replaced are lists and maps of a service that a later file replaces as a whole.
var replaced = []string{"command", "entrypoint", "healthcheck.test"}

// identity says what makes two items of a list of a service the same; the later one takes the place of the earlier one.
func identity(path string, item *tree.Node) string {
	text := item.Text()
	switch path {
	case "volumes", "devices":
		if item.Kind == tree.Map {
			return item.Get("target").Text()
		}
		if parts := strings.Split(text, ":"); len(parts) > 1 {
			return parts[1]
		}
	case "secrets", "configs":
		if item.Kind == tree.Map {
			if target := item.Get("target").Text(); target != "" {
				return target
			}
			return item.Get("source").Text()
		}
	}
	return text
}

// merge lays over over base, both of the form that normalize gives, and returns the result. path is where they stand in a service.
func merge(path string, base, over *tree.Node) *tree.Node {
	switch {
	case base == nil || over == nil:
		return over
	case over.Tag == "!reset":
		return nil
	case over.Tag == "!override" || base.Kind != over.Kind || slices.Contains(replaced, path):
		return over
	case over.Kind == tree.Map:
		for _, e := range over.Entries {
			if e.Value.Tag == "!reset" {
				base.Set(e.Key, nil)
				continue
			}
			if merged := merge(strings.TrimPrefix(path+"."+e.Key, "."), base.Get(e.Key), e.Value); merged != nil {
				base.Set(e.Key, merged)
			}
		}
		return base
	case over.Kind == tree.List:
		return mergeLists(path, base, over)
	}
	return over
}

func mergeLists(path string, base, over *tree.Node) *tree.Node {
	at := map[string]int{}
	for i, item := range base.Items {
		at[identity(path, item)] = i
	}
	for _, item := range over.Items {
		id := identity(path, item)
		if i, ok := at[id]; ok && id != "" {
			base.Items[i] = item
			continue
		}
		at[id] = len(base.Items)
		base.Items = append(base.Items, item)
	}
	return base
}
