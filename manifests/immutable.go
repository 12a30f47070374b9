package manifests

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// changedImmutable returns problems of objects that say they do not change, and have changed.
func changedImmutable(file string, old, now Contents) Problems {
	var out Problems
	report := func(kind string, object metav1.Object) {
		out = append(out, Problem{File: file, Path: "immutable", Message: fmt.Sprintf(
			"%s %s/%s is immutable, and its data have changed; remove it from the directory first, or give the new one another name",
			kind, object.GetNamespace(), object.GetName())})
	}
	for _, a := range old.ConfigMaps {
		for _, b := range now.ConfigMaps {
			if a.Name == b.Name && a.Namespace == b.Namespace && a.Immutable != nil && *a.Immutable &&
				!same([]any{a.Data, a.BinaryData, true}, []any{b.Data, b.BinaryData, b.Immutable}) {
				report("ConfigMap", b)
			}
		}
	}
	for _, a := range old.Secrets {
		for _, b := range now.Secrets {
			if a.Name == b.Name && a.Namespace == b.Namespace && a.Immutable != nil && *a.Immutable &&
				!same([]any{a.Data, a.Type, true}, []any{b.Data, b.Type, b.Immutable}) {
				report("Secret", b)
			}
		}
	}
	return out
}

func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
