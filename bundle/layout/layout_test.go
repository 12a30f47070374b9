package layout

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// entry is a file of a tar archive that a test writes; where it has a header that is used as it is.
type entry struct {
	name, text string
	header     *tar.Header
}

func blob(text string) entry {
	return entry{name: path.Join(blobs, digest.FromString(text).Encoded()), text: text}
}

var (
	version = entry{name: "oci-layout", text: `{"imageLayoutVersion":"1.0.0"}`}
	index   = entry{name: "index.json", text: `{"schemaVersion":2,"manifests":[]}`}
)

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.header
		if h == nil {
			h = &tar.Header{Name: e.name, Size: int64(len(e.text)), Mode: 0o644}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func gzipped(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(at, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return at
}

// A layout is the same as a tar file in any order, compressed, and as a directory.
func TestRead(t *testing.T) {
	json, text := blob(`{"a":1}`), blob("layer")
	plain := pack(t, version, index, json, text)
	dir := t.TempDir()
	for _, e := range []entry{version, index, json, text} {
		at := filepath.Join(dir, e.name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(e.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, at := range map[string]string{
		"tar": write(t, plain), "another order": write(t, pack(t, text, json, index, version)), "zstd": write(t, zstandard(t, plain)),
		"gzip": write(t, gzipped(t, plain)), "with ./": write(t, pack(t, entry{name: "./oci-layout", text: version.text}, entry{name: "./index.json", text: index.text}, entry{name: "./" + json.name, text: json.text}, text)),
		"directory": dir,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Read(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if l.Index == nil || len(l.Blobs) != 2 || len(l.JSON) != 1 || string(l.JSON[digest.FromString(json.text)]) != json.text {
				t.Errorf("%+v", l)
			}
			got := map[digest.Digest]string{}
			err = l.Copy(t.Context(), func(d digest.Digest) bool { return d == digest.FromString(text.text) }, func(d digest.Digest, _ int64, in io.Reader) error {
				data, err := io.ReadAll(in)
				got[d] = string(data)
				return err
			})
			if err != nil || len(got) != 1 || got[digest.FromString(text.text)] != text.text {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	good := pack(t, version, index, blob("layer"))
	large := strings.Repeat(" ", MaxJSON) + "{}"
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":               {nil, "it holds nothing"},
		"no archive":            {[]byte(strings.Repeat("x", 2000)), "is it a complete tar file"},
		"cut off":               {good[:1550], "is it a complete tar file"},
		"no layout":             {pack(t, index), "it has no oci-layout"},
		"no index":              {pack(t, version), "it has no index.json"},
		"another version":       {pack(t, entry{name: "oci-layout", text: `{"imageLayoutVersion":"2"}`}, index), `it has version "2" of the OCI layout`},
		"an index that is none": {pack(t, version, entry{name: "index.json", text: `[]`}), "index.json in it is no index"},
		"another content":       {pack(t, version, index, entry{name: blob("a").name, text: "b"}), "holds something else than its name says"},
		"a large index":         {pack(t, version, entry{name: "index.json", text: large}), "index.json in it has 4194306 bytes"},
		"a long name":           {pack(t, version, index, entry{name: strings.Repeat("n", maxName+1)}), "a file in it has a name of more than"},
		"a sparse file":         {sparse(t), "is a sparse file"},
		"zstd that is cut off":  {zstandard(t, good)[:60], "is it a complete tar file"},
		"a bomb":                {zstandard(t, pack(t, version, index, entry{name: "x", text: strings.Repeat("\x00", 300<<20)})), "no honest archive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(t.Context(), write(t, c.data))
			if (c.says != "") != (err != nil) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("says %v", err)
			}
		})
	}
}

// Much that is small is not kept in memory without end.
func TestReadBounds(t *testing.T) {
	entries := []entry{version, index}
	for i := range maxKept/MaxJSON + 1 {
		entries = append(entries, blob(fmt.Sprintf(`{"%d":"%s"}`, i, strings.Repeat("x", MaxJSON-100))))
	}
	if _, err := Read(t.Context(), write(t, pack(t, entries...))); !errors.Is(err, ErrRefused) {
		t.Errorf("says %v", err)
	}
}

// Links and names lead nowhere: a blob of another name is known by its content, and nothing is read beside the layout.
func TestNames(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Read(t.Context(), write(t, pack(t, version, index, entry{name: "../../a", text: "x"},
		entry{header: &tar.Header{Typeflag: tar.TypeSymlink, Name: "b/layer.tar", Linkname: "../c/layer.tar"}}, entry{name: "c/layer.tar", text: "layer"},
		entry{header: &tar.Header{Typeflag: tar.TypeSymlink, Name: "d", Linkname: secret}},
		entry{header: &tar.Header{Typeflag: tar.TypeFifo, Name: "e"}}, entry{header: &tar.Header{Typeflag: tar.TypeChar, Name: "f"}})))
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := l.Named("b/layer.tar"); !ok || d != digest.FromString("layer") {
		t.Errorf("%s, %t", d, ok)
	}
	for _, name := range []string{"d", "e", "f", secret, ""} {
		if d, ok := l.Named(name); ok {
			t.Errorf("%s is %s", name, d)
		}
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, blobs), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "oci-layout")); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), dir); err == nil {
		t.Error("a link out of the directory was followed")
	}
}

// sparse has a file that is one hole of 4 GiB, as GNU tar writes it.
func sparse(t *testing.T) []byte {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "hole"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(4<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "tar", "--sparse", "-C", dir, "-c", "hole").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What changes between two looks is an error, whatever its size.
func TestCopyOfWhatChanges(t *testing.T) {
	layer := blob("layer")
	for name, text := range map[string]string{"another content": "other", "longer": "longer layer"} {
		t.Run(name, func(t *testing.T) {
			at := write(t, pack(t, version, index, layer))
			l, err := Read(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, pack(t, version, index, entry{name: layer.name, text: text}), 0o600); err != nil {
				t.Fatal(err)
			}
			err = l.Copy(t.Context(), func(digest.Digest) bool { return true }, func(_ digest.Digest, _ int64, in io.Reader) error {
				_, err := io.Copy(io.Discard, in)
				return err
			})
			if !errors.Is(err, ErrRefused) {
				t.Errorf("says %v", err)
			}
		})
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, write(t, pack(t, version, index))); !errors.Is(err, context.Canceled) {
		t.Errorf("says %v", err)
	}
}

// A file is there when it is complete, and nothing else ever is.
func TestWriter(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "x.tar.zst")
	for _, commit := range []bool{false, true} {
		w, err := Create(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Head([]byte(index.text)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second changes nothing
			if _, err := w.Data([]byte("layer")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Blob(digest.FromString("short"), 100, strings.NewReader("short")); err == nil {
			t.Error("less than was said is written")
		}
		if commit {
			w.Abort()
			if w, err = Create(at); err == nil {
				err = w.Head([]byte(index.text))
			}
			if err == nil {
				_, err = w.Data([]byte("layer"))
			}
			if err == nil {
				err = w.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.Abort()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != map[bool]int{true: 1}[commit] {
			t.Errorf("%v, %v", entries, err)
		}
	}
	if l, err := Read(t.Context(), at); err != nil || len(l.Blobs) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	if info, err := os.Stat(at); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, name := range []string{"x", "x.tar.gz", "x.zst"} {
		if _, err := Create(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, version, index, blob("layer"), blob(`{"a":1}`)))
	f.Add(pack(f, entry{name: DockerManifest, text: `[]`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Read(t.Context(), write(t, data))
		if err != nil {
			return
		}
		for d, text := range l.JSON {
			if digest.FromBytes(text) != d || l.Blobs[d].Size != int64(len(text)) {
				t.Errorf("%s is something else", d)
			}
		}
	})
}
