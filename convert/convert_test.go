package convert

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/manifests/decode"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine is what the conversions of the tests see: the project lies in /project, and some files are as on a real machine.
type machine struct {
	dir     string
	environ map[string]string
}

func (m machine) read(path string) ([]byte, error) {
	inside, ok := strings.CutPrefix(path, "/project/")
	if !ok {
		return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
	}
	data, err := os.ReadFile(filepath.Join(m.dir, inside))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
	}
	return data, err
}

func (m machine) kind(path string) (fs.FileMode, error) {
	switch path {
	case "/var/run/docker.sock":
		return fs.ModeSocket, nil
	case "/dev/null", "/dev/net/tun", "/dev/ttyUSB0":
		return fs.ModeDevice | fs.ModeCharDevice, nil
	case "/", "/dev", "/srv/bound":
		return fs.ModeDir, nil
	}
	inside, ok := strings.CutPrefix(path, "/project/")
	if !ok {
		return 0, fs.ErrNotExist
	}
	info, err := os.Stat(filepath.Join(m.dir, inside))
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

func (m machine) lookup(name string) (string, bool) {
	v, ok := m.environ[name]
	return v, ok
}

// options reads those of a case: lines of NAME=value in options.txt, where names in capitals are of the environment.
func options(t *testing.T, dir string) Options {
	m := machine{dir, map[string]string{"HOME": "/home/ada"}}
	o := Options{Read: m.read, Kind: m.kind, Lookup: m.lookup, WaitImage: "docker.io/library/busybox:latest"}
	text, err := os.ReadFile(filepath.Join(dir, "options.txt"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "profile":
			o.Profiles = append(o.Profiles, value)
		case "namespace":
			o.Namespace = value
		case "wait-image":
			o.WaitImage = value
		case "files":
			for _, f := range strings.Fields(value) {
				o.Files = append(o.Files, "/project/"+f)
			}
		default:
			m.environ[name] = value
		}
	}
	for _, name := range []string{"compose.yaml", "kube.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			o.Files = append(o.Files, "/project/"+name)
		}
	}
	return o
}

// Each directory of testdata is one conversion: what comes of it, and what is said.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) < 30 {
		t.Fatalf("%d conversions were found: %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r, err := Convert(options(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			var notes strings.Builder
			for _, n := range r.Notes {
				fmt.Fprintln(&notes, n)
			}
			text := Join(r.Documents)
			golden(t, filepath.Join(dir, "want.yaml"), text)
			golden(t, filepath.Join(dir, "want.txt"), []byte(notes.String()))
			if _, problems := decode.Decode("want.yaml", text, decode.Options{}); (len(problems.Errors()) > 0) != r.Failed && !strings.Contains(notes.String(), "error: services") {
				t.Errorf("failed is %t, and check says:\n%v", r.Failed, problems.Errors())
			}
			if again, err := Convert(options(t, dir)); err != nil || !bytes.Equal(Join(again.Documents), text) {
				t.Errorf("another time something else comes of it (%v)", err)
			}
			for _, d := range r.Documents {
				settled(t, dir, d, r.Failed)
			}
		})
	}
}

// settled: what was made needs nothing more.
func settled(t *testing.T, dir string, d Document, failed bool) {
	o := options(t, dir)
	o.Files, o.Read = []string{"/project/again.yaml"}, func(string) ([]byte, error) { return d.Text, nil }
	r, err := Convert(o)
	if err != nil {
		t.Errorf("what was made of %s %s is not taken: %v", d.Kind, d.Name, err)
		return
	}
	for _, n := range r.Notes {
		if n.Kind != "error" && !strings.Contains(n.Message, "kompose") && !strings.Contains(n.Path, "annotations") && n.Path != "spec.type" || !failed && n.Kind == "error" {
			t.Errorf("what was made of %s %s is not settled: %s", d.Kind, d.Name, n)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is otherwise (go test ./convert -update writes it anew); got:\n%s", path, got)
	}
}

func TestUnreadable(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "is empty"},
		"neither":          {"a: 1", "neither a compose file"},
		"no services":      {"services: {}", "has no services"},
		"no YAML":          {"services: [", "cannot be read as YAML"},
		"binary":           {"\xff\xfe\x00", "not text in UTF-8"},
		"a quadlet":        {"[Container]\nImage=x\n", "quadlet"},
		"services a list":  {"services: [a]", "map of names"},
		"a service a text": {"services: {a: b}", "is a map"},
		"required":         {"services: {a: {image: \"${TAG:?say which}\"}}", "the variable TAG is required: say which"},
		"open brace":       {"services: {a: {image: \"${TAG\"}}", "not closed"},
		"no name":          {"services: {a: {image: \"a$\\\\-b\"}}", "write $$ for a dollar"},
		"twice":            {"services: {a: {image: x}, a: {image: y}}", "is there twice"},
		"itself":           {"services: {a: {extends: b}, b: {extends: a}}", "extends itself"},
		"extends nothing":  {"services: {a: {extends: b}}", "does not exist"},
		"extends no file":  {"services: {a: {extends: {file: away.yaml, service: b}}}", "cannot be read"},
		"includes itself":  {"include: [compose.yaml]\nservices: {a: {image: x}}", "includes itself"},
		"alias of itself":  {"services: &a {b: *a}", "nested too deep"},
		"deep":             {"services: " + strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested too deep"},
		"large":            {"# " + strings.Repeat("x", tree.MaxFile), "more than"},
		"many aliases": {"x: &a [" + strings.Repeat("1,", 100) + "]\ny: &b [" + strings.Repeat("*a,", 100) + "]\nz: &c [" + strings.Repeat("*b,", 100) +
			"]\nservices: {a: {image: x}}", "there is too much"},
		"many keys": {"services: {" + strings.Repeat("a: {},", 6000) + "}", "more than 5000 keys"},
		"large variables": {"services: {a: {environment: [" + strings.Repeat("\""+strings.Repeat("$BIG", 20)+"\",", 400) + "]}}",
			"more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Convert(Options{
				Files:  []string{"/project/compose.yaml"},
				Read:   func(path string) ([]byte, error) { return readOnly(path, c.text) },
				Kind:   func(string) (fs.FileMode, error) { return 0, fs.ErrNotExist },
				Lookup: func(n string) (string, bool) { return strings.Repeat("x", 1000), n == "BIG" },
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v; want %q in it", err, c.want)
			}
		})
	}
}

// What is secret, or often is, is not in what is said: that goes to terminals and logs.
func TestNothingSecretIsSaid(t *testing.T) {
	const text = `{apiVersion: v1, kind: Secret, metadata: {name: a, labels: {tier: 7}}, stringData: {pin: 271828, on: yes}, data: {n: 314159}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c, image: d, env: [{name: PIN, value: 271828}]}]}}
---
{apiVersion: v1, kind: SecretList, items: [{apiVersion: v1, kind: secret, metadata: {name: e}, stringData: {pin: 271828, pin: 314159}}]}
`
	r, err := Convert(Options{Files: []string{"/project/compose.yaml"}, Read: func(path string) ([]byte, error) { return readOnly(path, text) }})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, n := range r.Notes {
		said += n.String() + "\n"
	}
	if strings.Contains(said, "271828") || strings.Contains(said, "314159") || !strings.Contains(said, "stringData.pin: it is in quotes") || !strings.Contains(said, `"7" is in quotes`) {
		t.Errorf("%s", said)
	}
}

// A file of many values costs no more than some seconds, and what is left out is said.
func TestMany(t *testing.T) {
	unnamed := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n" + strings.Repeat("  - {image: web}\n", 10_000)
	var volumes, merged, anchors strings.Builder
	volumes.WriteString("services:\n  a:\n    image: web\n    volumes:\n")
	for i := range 10_000 {
		fmt.Fprintf(&volumes, "    - /a%d:/a%[1]d\n", i)
	}
	merged.WriteString("x-a:\n")
	for i := range 10 {
		fmt.Fprintf(&merged, "  m%d: &m%[1]d\n", i)
		for j := range 4000 {
			fmt.Fprintf(&merged, "    k%d%04d: 1\n", i, j)
		}
		fmt.Fprintf(&anchors, "*m%d, ", i)
	}
	merged.WriteString("services:\n  a:\n    image: web\n    environment: {<<: [" + anchors.String() + "]}\n")
	for text, want := range map[string]string{
		unnamed: "", volumes.String(): "it has 10001 values; at most 2000 are converted", merged.String(): "it has 40001 values; at most 2000 are converted",
	} {
		r, err := Convert(Options{
			Files: []string{"/project/compose.yaml"}, Read: func(path string) ([]byte, error) { return readOnly(path, text) },
			Kind: machine{}.kind, Lookup: machine{}.lookup,
		})
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		if text == unnamed {
			if got := string(r.Documents[0].Text); !strings.Contains(got, "name: web-10000}\n") {
				t.Errorf("%.60s: %s", text, got[len(got)-100:])
			}
			continue
		}
		if said := fmt.Sprint(r.Notes); !strings.Contains(said, want) {
			t.Errorf("%.60s: %s", text, said)
		}
	}
}

func readOnly(path, text string) ([]byte, error) {
	if path != "/project/compose.yaml" {
		return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
	}
	return []byte(text), nil
}

// Whatever a file holds, converting it ends, and what comes of it without an error is taken.
func FuzzConvert(f *testing.F) {
	dirs, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range dirs {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Convert(Options{
			Files:     []string{"/project/compose.yaml"},
			WaitImage: "wait",
			Read:      func(path string) ([]byte, error) { return readOnly(path, text) },
			Kind:      func(string) (fs.FileMode, error) { return 0, fs.ErrNotExist },
			Lookup:    func(n string) (string, bool) { return n, len(n) > 3 },
		})
		if err != nil || r.Failed || len(r.Documents) == 0 {
			return
		}
		if _, problems := decode.Decode("result", Join(r.Documents), decode.Options{}); len(problems.Errors()) > 0 {
			t.Errorf("what was made is refused: %v\n%s", problems.Errors(), Join(r.Documents))
		}
	})
}
