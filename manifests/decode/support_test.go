package decode

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// reachable lists the fields, as Type.field, that a pod's manifest can hold, but for those inside of fields that are refused or
// have no effect.
func reachable(t *testing.T) map[string]supportKind {
	t.Helper()
	out := map[string]supportKind{}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		switch typ {
		case quantityType, intOrStringType, timeType:
			return
		}
		if clustersOwn[typ] || typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for name, f := range fieldsOf(typ) {
			s := supportOf(f.owner, name)
			if s.reason == notKnown {
				t.Errorf("%s.%s is in no list: put it into implemented.go, refused.go or fieldsWithoutEffect", f.owner, name)
			}
			out[f.owner+"."+name] = s.kind
			if s.kind == implemented {
				walk(f.typ)
			}
		}
	}
	for _, object := range decodedTypes {
		walk(object)
	}
	return out
}

// Every field of the API is in one of the lists, no list names what does not exist, and no field is in two.
func TestEveryFieldIsListed(t *testing.T) {
	fields := reachable(t)
	lists := map[string]string{}
	for list, names := range map[string]map[string]string{"implemented": implementedFields, "refused": refusedFields, "without effect": fieldsWithoutEffect} {
		for name := range names {
			if _, ok := fields[name]; !ok {
				t.Errorf("%s is listed as %s, and no manifest can hold it", name, list)
			}
			if other, ok := lists[name]; ok {
				t.Errorf("%s is listed as %s and as %s", name, list, other)
			}
			lists[name] = list
		}
	}
}

// Every implemented field names a test that exists.
func TestImplementedFieldsAreTested(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != "../.." && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for field, test := range implementedFields {
		if !strings.Contains(tests.String(), "\nfunc "+test+"(") {
			t.Errorf("%s is shown by %s, which does not exist", field, test)
		}
	}
}

// docs/pod-spec.md holds the table that the lists make. go test ./manifests/decode -run TestDocumentedFields -update writes it.
func TestDocumentedFields(t *testing.T) {
	const file, begin, end = "../../docs/pod-spec.md", "<!-- fields: begin -->\n", "<!-- fields: end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + documentation(reachable(t)) + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("the table in %s is not what the lists make; write it with go test ./manifests/decode -run TestDocumentedFields -update", file)
	}
}

func documentation(fields map[string]supportKind) string {
	byType := map[string][]string{}
	for name := range fields {
		owner, field, _ := strings.Cut(name, ".")
		byType[owner] = append(byType[owner], field)
	}
	var b strings.Builder
	for _, owner := range slices.Sorted(maps.Keys(byType)) {
		if insideIgnored(owner) {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n| field | | |\n| --- | --- | --- |\n", owner)
		rows := map[string][]string{}
		for _, field := range byType[owner] {
			key := owner + "." + field
			row := ""
			switch fields[key] {
			case implemented:
				row = "implemented | `" + implementedFields[key] + "`"
			case withoutEffect:
				row = "without effect | " + fieldsWithoutEffect[key]
			default:
				row = "refused | " + refusedFields[key]
			}
			rows[row] = append(rows[row], "`"+field+"`")
		}
		for _, row := range slices.Sorted(maps.Keys(rows)) {
			slices.Sort(rows[row])
			fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(rows[row], ", "), row)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// decodedTypes are the kinds that a file can hold.
var decodedTypes = []reflect.Type{reflect.TypeFor[v1.Pod](), reflect.TypeFor[v1.ConfigMap](), reflect.TypeFor[v1.Secret](), reflect.TypeFor[v1.PersistentVolumeClaim](),
	reflect.TypeFor[appsv1.Deployment](), reflect.TypeFor[appsv1.ReplicaSet](), reflect.TypeFor[appsv1.StatefulSet](), reflect.TypeFor[appsv1.DaemonSet](),
	reflect.TypeFor[batchv1.Job](), reflect.TypeFor[batchv1.CronJob](),
	reflect.TypeFor[v1.Service](), reflect.TypeFor[v1.Endpoints](), reflect.TypeFor[discoveryv1.EndpointSlice](), //nolint:staticcheck // Endpoints are deprecated, and much used
	reflect.TypeFor[networkingv1.NetworkPolicy](), reflect.TypeFor[v1.Namespace]()}
