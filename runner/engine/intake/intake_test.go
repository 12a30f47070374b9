package intake

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// labels are kept for a store that has no database.
type labels map[digest.Digest]map[string]string

func (l labels) Get(d digest.Digest) (map[string]string, error) { return l[d], nil }

func (l labels) Set(d digest.Digest, all map[string]string) error {
	l[d] = all
	return nil
}

func (l labels) Update(d digest.Digest, some map[string]string) (map[string]string, error) {
	if l[d] == nil {
		l[d] = map[string]string{}
	}
	for name, value := range some {
		l[d][name] = value
	}
	return l[d], nil
}

// shelf is an archive to be made, and a store to read it into.
type shelf struct {
	t      testing.TB
	root   string
	store  content.Store
	labels labels
	files  []file
}

type file struct {
	header tar.Header
	data   []byte
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	s := &shelf{t: t, root: t.TempDir(), labels: labels{}}
	var err error
	if s.store, err = local.NewLabeledStore(s.root, s.labels); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) add(name string, data []byte) {
	s.files = append(s.files, file{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}, data})
}

// put adds a blob under the name of its digest.
func (s *shelf) put(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	s.add("blobs/sha256/"+d.Encoded(), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (s *shelf) putJSON(mediaType string, v any) ocispec.Descriptor {
	return s.put(mediaType, encode(s.t, v))
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// image adds an image of these layers.
func (s *shelf) image(layers ...[]byte) ocispec.Descriptor {
	config := ocispec.Image{Platform: platforms.DefaultSpec()}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, s.put(ocispec.MediaTypeImageLayer, l))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
	}
	m.Config = s.putJSON(ocispec.MediaTypeImageConfig, config)
	return s.putJSON(ocispec.MediaTypeImageManifest, m)
}

// index adds an index that is part of the archive's content.
func (s *shelf) indexOf(list ...ocispec.Descriptor) ocispec.Descriptor {
	return s.putJSON(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
}

// called names what the archive holds.
func (s *shelf) called(name string, d ocispec.Descriptor) {
	d.Annotations = map[string]string{images.AnnotationImageName: name}
	s.add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	s.add("index.json", encode(s.t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{d}}))
}

func (s *shelf) bytes() []byte {
	s.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range s.files {
		err := w.WriteHeader(&f.header)
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	return out.Bytes()
}

// naming takes names of small letters.
func naming(name string) (string, error) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz:/.0123456789") != "" || strings.Contains(name, "..") || len(name) > 255 {
		return "", errors.New("no name")
	}
	return name, nil
}

func (s *shelf) read(from io.Reader) ([]images.Image, error) { return s.readIn(s.t.Context(), from) }

func (s *shelf) readIn(ctx context.Context, from io.Reader) ([]images.Image, error) {
	return Archive{Store: s.store, Name: naming}.Read(ctx, from)
}

// has are the blobs in the store, and what is half of one.
func (s *shelf) has() (blobs []digest.Digest, halves int) {
	s.t.Helper()
	err := s.store.Walk(s.t.Context(), func(i content.Info) error { blobs = append(blobs, i.Digest); return nil })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	list, err := os.ReadDir(filepath.Join(s.root, "ingest"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return blobs, len(list)
}

func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An archive's images are in the store, whole and with the labels that keep them, also of one that is compressed; what no image names is not.
func TestRead(t *testing.T) {
	large := bytes.Repeat([]byte("layer"), maxSmall)
	for name, pack := range map[string]func([]byte) []byte{
		"plain": func(b []byte) []byte { return b },
		"gzip":  func(b []byte) []byte { return packed(t, b) },
		"zstd": func(b []byte) []byte {
			e, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return e.EncodeAll(b, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			s.put("text/plain", []byte("nobody names it"))
			m := s.image([]byte("small"), large)
			s.called("web:1", s.indexOf(m))
			list, err := s.read(bytes.NewReader(pack(s.bytes())))
			if err != nil || len(list) != 1 || list[0].Name != "web:1" {
				t.Fatalf("%v, %v", list, err)
			}
			blobs, halves := s.has()
			if len(blobs) != 5 || halves != 0 { // two layers, configuration, manifest, index
				t.Errorf("%d blobs, %d halves", len(blobs), halves)
			}
			if got := s.labels[m.Digest]["containerd.io/gc.ref.content.l.1"]; got != digest.FromBytes(large).String() {
				t.Errorf("the manifest does not keep its layers: %v", s.labels[m.Digest])
			}
			// What is there already is read again, and found to be the same.
			if _, err := s.read(bytes.NewReader(s.bytes())); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the disk has already, of another namespace or of an import that was cut off, is taken over as it is.
func TestReadWhatTheDiskHas(t *testing.T) {
	s := newShelf(t)
	onDisk, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, err := bolt.Open(filepath.Join(t.TempDir(), "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	db := metadata.NewDB(file, onDisk, nil)
	if err := db.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.store = db.ContentStore()
	large := bytes.Repeat([]byte("layer"), maxSmall)
	s.called("web:1", s.indexOf(s.image([]byte("small"), large)))
	for _, namespace := range []string{"k8s.io", "solopod"} {
		ctx := namespaces.WithNamespace(t.Context(), namespace)
		if list, err := s.readIn(ctx, bytes.NewReader(s.bytes())); err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", namespace, list, err)
		}
		blob, err := content.ReadBlob(ctx, s.store, ocispec.Descriptor{Digest: digest.FromBytes(large), Size: int64(len(large))})
		if err != nil || !bytes.Equal(blob, large) {
			t.Errorf("%s: the layer has %d bytes: %v", namespace, len(blob), err)
		}
	}
}

// Archives of Docker's form are understood, with links for layers that are the same.
func TestReadDocker(t *testing.T) {
	s := newShelf(t)
	s.add("a/layer.tar", []byte("layer"))
	s.files = append(s.files, file{tar.Header{Name: "b/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../a/layer.tar"}, nil})
	s.add("c/layer.tar", packed(t, []byte("packed")))
	s.add("config.json", encode(t, ocispec.Image{Platform: platforms.DefaultSpec()}))
	s.add("manifest.json", []byte(`[{"Config":"config.json","RepoTags":["web:1","web:2"],"Layers":["a/layer.tar","b/layer.tar","c/layer.tar"]}]`))
	list, err := s.read(bytes.NewReader(s.bytes()))
	if err != nil || len(list) != 2 || list[1].Name != "web:2" {
		t.Fatalf("%v, %v", list, err)
	}
	m, err := images.Manifest(t.Context(), s.store, list[0].Target, platforms.Default())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 3 || m.Layers[0].Digest != m.Layers[1].Digest || m.Layers[0].MediaType != images.MediaTypeDockerSchema2Layer || m.Layers[2].MediaType != images.MediaTypeDockerSchema2LayerGzip {
		t.Errorf("%+v", m.Layers)
	}
}

// What asks for too much, or is not what it says, is refused at once, in words, and leaves nothing in the store.
func TestRefused(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 2*maxSmall)
	for name, c := range map[string]struct {
		make func(s *shelf)
		want string
	}{
		"a name that leads out": {func(s *shelf) { s.called("../../etc/x", s.image()) }, `"../../etc/x", which is no image's name`},
		"a name with escapes":   {func(s *shelf) { s.called("web\x1b[31m", s.image()) }, `"web\x1b[31m", which is no image's name`},
		"a huge name":           {func(s *shelf) { s.called(strings.Repeat("a", 100_000), s.image()) }, "(100000 characters), which is no image's name"},
		"another digest, small": {func(s *shelf) { s.called("web:1", s.image([]byte("a"))); s.files[0].data = []byte("b") }, "something else than its name says"},
		"another digest, large": {func(s *shelf) { s.called("web:1", s.image(big)); s.files[0].data = bytes.Repeat([]byte("y"), len(big)) }, "something else than its name says"},
		"no digest": {func(s *shelf) {
			s.called("web:1", ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:../../x", Size: 2})
		}, "which is no digest"},
		"an endless chain":     {func(s *shelf) { s.called("web:1", chain(s, 3000)) }, "nested more than 4 deep"},
		"a tree of 10^8":       {func(s *shelf) { s.called("web:1", fan(s, 7)) }, "nested more than 4 deep"},
		"a wide tree":          {func(s *shelf) { s.called("web:1", wide(s)) }, "name more than 10000 things"},
		"too many layers":      {func(s *shelf) { s.called("web:1", s.image(make([][]byte, maxLayers+1)...)) }, "501 layers"},
		"a huge configuration": {func(s *shelf) { s.called("web:1", ofConfig(s, make([]byte, maxJSON+1))) }, "4.0 MiB, and may have 4.0 MiB"},
		"no JSON":              {func(s *shelf) { s.called("web:1", ofConfig(s, []byte("no"))) }, "is no configuration of an image"},
		"a huge index":         {func(s *shelf) { s.add("index.json", make([]byte, maxJSON+1)) }, `"index.json" of the archive: it has 4.0 MiB`},
		"a long file name":     {func(s *shelf) { s.add(strings.Repeat("n", maxName+1), nil) }, "a name of more than 1024 characters"},
		"long file names": {func(s *shelf) {
			for i := range maxNames / 1000 {
				s.add(strings.Repeat("n", 1000)+fmt.Sprint(i), nil)
			}
		}, "names of the archive's files take up more than 16.0 MiB"},
		"too many files":  {func(s *shelf) { s.files = make([]file, maxEntries+1); name(s.files) }, "more than 100000 files"},
		"another version": {func(s *shelf) { s.add("oci-layout", []byte(`{"imageLayoutVersion":"9"}`)) }, `version "9" of the OCI layout`},
		"a layer that is not there": {func(s *shelf) {
			s.add("manifest.json", []byte(`[{"Config":"c","RepoTags":["w"],"Layers":["/etc/passwd"]}]`))
			s.add("c", []byte("{}"))
		}, "does not have it"},
		"layers of Docker, too many": {func(s *shelf) {
			s.add("manifest.json", encode(s.t, []dockerImage{{Layers: make([]string, maxLayers+1)}}))
		}, "501 layers"},
		"a configuration over and over": {func(s *shelf) { s.called("web:1", ofOneConfig(s, 30)) }, "read over and over"},
		"a configuration of Docker's, over and over": {func(s *shelf) {
			s.add("manifest.json", encode(s.t, slices.Repeat([]dockerImage{{Config: "c"}}, 30)))
			s.add("c", encode(s.t, ocispec.Image{Author: strings.Repeat("a", maxJSON-1000)}))
		}, "read over and over"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			c.make(s)
			data := s.bytes()
			began := time.Now()
			_, err := s.read(bytes.NewReader(data))
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			if _, halves := s.has(); halves != 0 {
				t.Errorf("%d halves of blobs are left", halves)
			}
			for _, d := range blobs(s) {
				if data, err := content.ReadBlob(t.Context(), s.store, ocispec.Descriptor{Digest: d}); err != nil || digest.FromBytes(data) != d {
					t.Errorf("%s is damaged in the store: %v", d, err)
				}
			}
		})
	}
}

func blobs(s *shelf) []digest.Digest {
	list, _ := s.has()
	return list
}

func name(files []file) {
	for i := range files {
		files[i].header = tar.Header{Name: fmt.Sprint("f", i), Typeflag: tar.TypeDir}
	}
}

func chain(s *shelf, levels int) ocispec.Descriptor {
	d := s.indexOf()
	for range levels {
		d = s.indexOf(d)
	}
	return d
}

// fan is an index each level of which names the one below ten times.
func fan(s *shelf, levels int) ocispec.Descriptor {
	d := s.indexOf()
	for range levels {
		var ten []ocispec.Descriptor
		for i := range 10 {
			d.Annotations = map[string]string{"n": fmt.Sprint(i)}
			ten = append(ten, d)
		}
		d = s.indexOf(ten...)
	}
	return d
}

// wide names more things than may be.
func wide(s *shelf) ocispec.Descriptor {
	var list []ocispec.Descriptor
	for i := range 6000 {
		list = append(list, ocispec.Descriptor{MediaType: "x", Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	return s.indexOf(s.indexOf(list...), s.indexOf(append(list, list[0])...))
}

// ofConfig is an image with this configuration, which calls it something else.
func ofConfig(s *shelf, config []byte) ocispec.Descriptor {
	d := s.put("x", config)
	return s.putJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, Config: d, Layers: []ocispec.Descriptor{}})
}

// ofOneConfig is an index of images that have the same large configuration.
func ofOneConfig(s *shelf, n int) ocispec.Descriptor {
	config := s.putJSON(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: platforms.DefaultSpec(), Author: strings.Repeat("a", maxJSON-1000)})
	var list []ocispec.Descriptor
	for i := range n {
		list = append(list, s.putJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, Config: config, Layers: []ocispec.Descriptor{}, Annotations: map[string]string{"n": fmt.Sprint(i)},
		}))
	}
	return s.indexOf(list...)
}

// nowhere is a store that keeps nothing.
type nowhere struct{ content.Store }

func (nowhere) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return sink{}, nil
}

func (nowhere) Abort(context.Context, string) error { return nil }

type sink struct{ content.Writer }

func (sink) Status() (content.Status, error) { return content.Status{}, nil }

func (sink) Write(b []byte) (int, error) { return len(b), nil }

func (sink) Commit(context.Context, int64, digest.Digest, ...content.Opt) error { return nil }

func (sink) Close() error { return nil }

// Small files beyond those that are kept in memory are as few as an archive can name: each costs the disk.
func TestManySmallBlobs(t *testing.T) {
	s := newShelf(t)
	for i := range mostOfSmall / maxSmall {
		s.add(fmt.Sprint("large", i), bytes.Repeat([]byte{byte(i)}, maxSmall))
	}
	for i := range maxDescriptors + 1 {
		s.add(fmt.Sprint("small", i), []byte("x"))
	}
	_, err := Archive{Store: nowhere{}, Name: naming}.Read(t.Context(), bytes.NewReader(s.bytes()))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "more than 10000 blobs") {
		t.Errorf("%v", err)
	}
}

// A sparse file, which a few bytes describe, is not written out.
func TestSparse(t *testing.T) {
	for _, form := range []string{"gnu", "posix --sparse-version=1.0", "posix --sparse-version=0.1", "posix --sparse-version=0.0"} {
		s, from := newShelf(t), t.TempDir()
		if err := os.WriteFile(filepath.Join(from, "layer.tar"), []byte("a few"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(from, "layer.tar"), 64<<20); err != nil {
			t.Fatal(err)
		}
		packed, err := exec.CommandContext(t.Context(), "tar", append(strings.Fields("--format="+form), "--sparse", "-C", from, "-c", "layer.tar")...).Output()
		if err != nil || len(packed) > 1<<20 {
			t.Fatalf("%s: %d bytes, %v", form, len(packed), err)
		}
		if _, err := s.read(bytes.NewReader(packed)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"layer.tar" of the archive: it is a sparse file`) {
			t.Errorf("%s: %v", form, err)
		}
		if blobs, halves := s.has(); len(blobs) != 0 || halves != 0 {
			t.Errorf("%s: %d blobs and %d halves are left", form, len(blobs), halves)
		}
	}
}

// What is no archive is told from one that is damaged, and neither is written.
func TestNoArchive(t *testing.T) {
	s := newShelf(t)
	if _, err := s.read(strings.NewReader(strings.Repeat("no archive ", 1000))); !errors.Is(err, tar.ErrHeader) {
		t.Errorf("text: %v", err)
	}
	if _, err := s.read(strings.NewReader("")); !errors.Is(err, ErrNoArchive) {
		t.Errorf("nothing: %v", err)
	}
	s.called("web:1", s.image(make([]byte, 2*maxSmall)))
	data := s.bytes()
	if _, err := s.read(bytes.NewReader(data[:maxSmall])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half of an archive: %v", err)
	}
	if blobs, halves := s.has(); len(blobs) != 0 || halves != 0 {
		t.Errorf("%d blobs and %d halves are left", len(blobs), halves)
	}
	s = newShelf(t)
	s.called("web:1", ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1})
	if _, err := s.read(bytes.NewReader(s.bytes())); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "has the archive all of it") {
		t.Errorf("without its manifest: %v", err)
	}
}

// endless is a stream that has no end.
type endless struct{ first io.Reader }

func (e endless) Read(b []byte) (int, error) {
	if n, err := e.first.Read(b); err == nil {
		return n, nil
	}
	clear(b)
	return len(b), nil
}

// An archive that is compressed as a whole is bounded by what it was packed to; so is a claim by the room on the disk.
func TestOuterBomb(t *testing.T) {
	s := newShelf(t)
	var claim bytes.Buffer
	if err := tar.NewWriter(&claim).WriteHeader(&tar.Header{Name: "blobs/zeros", Typeflag: tar.TypeReg, Size: 100 << 30}); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, err := io.Copy(z, endless{&claim})
		w.CloseWithError(err)
	}()
	_, err := s.read(r)
	r.CloseWithError(io.ErrClosedPipe)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no honest archive") {
		t.Errorf("%v", err)
	}
	claim.Reset()
	if err := tar.NewWriter(&claim).WriteHeader(&tar.Header{Name: "blobs/zeros", Typeflag: tar.TypeReg, Size: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	_, err = Archive{Store: s.store, Name: naming, Disk: Disk(s.root)}.Read(t.Context(), endless{&claim})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "1.0 EiB more") {
		t.Errorf("%v", err)
	}
	if blobs, halves := s.has(); len(blobs) != 0 || halves != 0 {
		t.Errorf("%d blobs and %d halves are left", len(blobs), halves)
	}
}

// A stream that comes slowly ends with its context.
func TestCancelled(t *testing.T) {
	s := newShelf(t)
	var claim bytes.Buffer
	if err := tar.NewWriter(&claim).WriteHeader(&tar.Header{Name: "blobs/zeros", Typeflag: tar.TypeReg, Size: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("enough"))
	defer cancel()
	slow := endless{io.MultiReader(&claim, readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, io.EOF }))}
	if _, err := (Archive{Store: s.store, Name: naming}).Read(ctx, slow); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
	if _, halves := s.has(); halves != 0 {
		t.Errorf("%d halves are left", halves)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
