package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcr "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/ssh"

	"github.com/solopod/solopod/bundle/layout"
	"github.com/solopod/solopod/bundle/sign"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
)

const manifest = `apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {solopod.io/bundle-name: shop, solopod.io/bundle-version: 1.2.0}}
spec:
  initContainers: [{name: first, image: "example.com/db:2"}]
  containers: [{name: web, image: "example.com/web:1"}]
`

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// image has a layer of its own on one that may be shared.
func image(t testing.TB, base v1.Image) v1.Image {
	layer := must(random.Layer(2000, "application/vnd.oci.image.layer.v1.tar+gzip"))(t)
	i := must(mutate.AppendLayers(base, layer))(t)
	return must(mutate.ConfigFile(i, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: must(i.ConfigFile())(t).RootFS}))(t)
}

func base(t testing.TB) v1.Image {
	return image(t, mutate.ConfigMediaType(mutate.MediaType(empty.Image, "application/vnd.oci.image.manifest.v1+json"), "application/vnd.oci.image.config.v1+json"))
}

// layoutOf makes a layout directory of images by name.
func layoutOf(t testing.TB, images map[string]v1.Image) string {
	t.Helper()
	dir := t.TempDir()
	p := must(ggcr.Write(dir, empty.Index))(t)
	for name, i := range images {
		if err := p.AppendImage(i, ggcr.WithAnnotations(map[string]string{imageName: name})); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// order is for a bundle of a pod with two images that share a layer.
func order(t testing.TB, archives ...string) Order {
	t.Helper()
	texts := []Text{{"web.yaml", []byte(manifest)}}
	s, problems := Judge(texts, decode.Options{})
	if len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	return Order{Texts: texts, Snapshot: s, Archives: archives}
}

func twoImages(t testing.TB) map[string]v1.Image {
	b := base(t)
	return map[string]v1.Image{"example.com/web:1": image(t, b), "example.com/db:2": image(t, b), "example.com/other:3": image(t, b)}
}

func create(t testing.TB, o Order, name string) (Made, string) {
	t.Helper()
	at := filepath.Join(t.TempDir(), name)
	return must(Create(t.Context(), o, at))(t), at
}

func TestCreate(t *testing.T) {
	images := twoImages(t)
	o := order(t, layoutOf(t, images))
	made, at := create(t, o, "a.tar.zst")
	if made.Name != "shop" || made.Version != "1.2.0" || len(made.Images) != 2 || len(made.Missing) != 0 {
		t.Errorf("%+v", made)
	}
	b := must(Open(t.Context(), at))(t)
	if b.Digest != made.Digest || len(b.Images) != 2 || b.Images[1].Name != "example.com/web:1" || b.Images[1].Target.Digest.String() != must(images["example.com/web:1"].Digest())(t).String() {
		t.Errorf("%+v", b.Description)
	}
	if !slices.Equal(b.Contents[0].Platforms, []string{"linux/amd64"}) || b.Contents[0].Size == 0 {
		t.Errorf("%+v", b.Contents)
	}
	texts := must(b.Texts(t.Context()))(t)
	if len(texts) != 1 || string(texts["web.yaml"]) != manifest {
		t.Errorf("%q", texts)
	}
	// What the manifests do not name stays out, and what images share is there once: two manifests, two configurations, three layers.
	parts := map[digest.Digest]bool{}
	for _, c := range b.Contents {
		for d := range c.parts {
			parts[d] = true
		}
	}
	if len(parts) != 7 || len(b.layout.Blobs) != 7+4 { // the index, the artifact, its description, a manifest
		t.Errorf("%d parts, %d blobs", len(parts), len(b.layout.Blobs))
	}
}

// The same order makes the same bytes, at any time, and however it is packed the same digest.
func TestSameBytes(t *testing.T) {
	dir := layoutOf(t, twoImages(t))
	made, first := create(t, order(t, dir), "a.tar.zst")
	_, second := create(t, order(t, dir), "b.tar.zst")
	if !bytes.Equal(must(os.ReadFile(first))(t), must(os.ReadFile(second))(t)) {
		t.Error("the same order made other bytes")
	}
	if plain, _ := create(t, order(t, dir), "a.tar"); plain.Digest != made.Digest {
		t.Errorf("%s is another digest than %s", plain.Digest, made.Digest)
	}
}

// Archives of docker save, as they are and compressed, make images too; two archives make one bundle.
func TestDockerArchive(t *testing.T) {
	images := twoImages(t)
	var archives []string
	for _, n := range []string{"example.com/web:1", "example.com/db:2"} {
		at := filepath.Join(t.TempDir(), "docker.tar")
		if err := tarball.WriteToFile(at, must(name.NewTag(n))(t), images[n]); err != nil {
			t.Fatal(err)
		}
		archives = append(archives, at)
	}
	_, at := create(t, order(t, archives...), "a.tar")
	b := must(Open(t.Context(), at))(t)
	for i, image := range b.Images {
		// The manifests are ours, and name what the original ones do.
		var m, original ocispec.Manifest
		if err := read(b.layout, image.Target, &m); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(must(images[image.Name].RawManifest())(t), &original); err != nil {
			t.Fatal(err)
		}
		if m.Config.Digest != original.Config.Digest || len(m.Layers) != 2 || m.Layers[1].Digest != original.Layers[1].Digest || m.Layers[0].MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("image %d: %+v", i, m)
		}
	}
}

func platform(arch string) *v1.Platform { return &v1.Platform{OS: "linux", Architecture: arch} }

// Of an image for several platforms all are taken, or the one that is there.
func TestPlatforms(t *testing.T) {
	here, there := base(t), base(t)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, "application/vnd.oci.image.index.v1+json"),
		mutate.IndexAddendum{Add: here, Descriptor: v1.Descriptor{Platform: platform("amd64")}}, mutate.IndexAddendum{Add: there, Descriptor: v1.Descriptor{Platform: platform("arm64")}})
	dir := layoutOf(t, map[string]v1.Image{"example.com/db:2": base(t)})
	p := must(ggcr.FromPath(dir))(t)
	if err := p.AppendIndex(index, ggcr.WithAnnotations(map[string]string{imageName: "example.com/web:1"})); err != nil {
		t.Fatal(err)
	}
	_, at := create(t, order(t, dir), "a.tar")
	if got := must(Open(t.Context(), at))(t).Images[1].Target.Digest.String(); got != must(index.Digest())(t).String() {
		t.Errorf("it has %s", got)
	}
	if err := os.Remove(filepath.Join(dir, "blobs/sha256", must(there.Digest())(t).Hex)); err != nil {
		t.Fatal(err)
	}
	_, at = create(t, order(t, dir), "b.tar")
	if got := must(Open(t.Context(), at))(t).Images[1].Target.Digest.String(); got != must(here.Digest())(t).String() {
		t.Errorf("it has %s", got)
	}
	// A digest finds it where it has no name of its own.
	o := order(t, dir)
	text := strings.Replace(manifest, "example.com/web:1", "example.com/web@"+must(here.Digest())(t).String(), 1)
	o.Texts[0].Data = []byte(text)
	o.Snapshot, _ = Judge(o.Texts, decode.Options{})
	if made, _ := create(t, o, "c.tar"); !strings.Contains(fmt.Sprint(made.Images), must(here.Digest())(t).String()) {
		t.Errorf("%+v", made)
	}
}

func TestCreateRefuses(t *testing.T) {
	full := layoutOf(t, twoImages(t))
	some := twoImages(t)
	delete(some, "example.com/web:1")
	broken := layoutOf(t, twoImages(t))
	for _, e := range must(os.ReadDir(filepath.Join(broken, "blobs/sha256")))(t) {
		at := filepath.Join(broken, "blobs/sha256", e.Name())
		if must(os.ReadFile(at))(t)[0] != '{' { // a layer
			if err := os.Remove(at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(o *Order)
		says   string
	}{
		"an image is missing":   {func(o *Order) { o.Archives = []string{layoutOf(t, some)} }, "no archive has example.com/web:1"},
		"a layer is missing":    {func(o *Order) { o.Archives = []string{broken} }, "is named and not there"},
		"no archive":            {func(o *Order) { o.Archives = []string{filepath.Join(full, "none")} }, "no such file"},
		"a name that is none":   {func(o *Order) { o.Name = "Shop" }, `name "Shop" is none`},
		"a version with a path": {func(o *Order) { o.Version = "../1" }, `version "../1" is none`},
		"no manifests":          {func(o *Order) { o.Texts = nil }, "a bundle has manifests"},
		"two versions": {func(o *Order) {
			o.Texts = append(o.Texts, Text{"x.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: {solopod.io/bundle-version: 2.0.0}}\n")})
			o.Snapshot, _ = Judge(o.Texts, decode.Options{})
		}, "in one place and"},
		"no version": {func(o *Order) {
			o.Texts[0].Data = []byte(strings.Replace(manifest, "solopod.io/bundle-version: 1.2.0", "a: b", 1))
			o.Snapshot, _ = Judge(o.Texts, decode.Options{})
		}, "needs a name and a version"},
	} {
		t.Run(name, func(t *testing.T) {
			o, dir := order(t, full), t.TempDir()
			c.change(&o)
			_, err := Create(t.Context(), o, filepath.Join(dir, "a.tar"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %v", err)
			}
			if left := must(os.ReadDir(dir))(t); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
	o := order(t, layoutOf(t, some))
	o.Partial = true
	if made, _ := create(t, o, "a.tar"); !slices.Equal(made.Missing, []string{"example.com/web:1"}) || len(made.Images) != 1 {
		t.Errorf("%+v", made)
	}
}

func TestGather(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"b.yaml", "a.json", ".hidden.yaml", "notes.txt", "sub/c.yaml", "sub/b.yaml", "sub/with space.yaml", "none/x"} {
		at := filepath.Join(dir, n)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(n), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	list := must(Gather([]string{filepath.Join(dir, "sub/c.yaml"), dir}))(t)
	if fmt.Sprintf("%s", list) != "[{a.json a.json} {b.yaml b.yaml} {c.yaml sub/c.yaml}]" {
		t.Errorf("%s", list)
	}
	for at, says := range map[string]string{
		"sub": "rename it", "none": "holds no manifest", "b.yaml sub/b.yaml": "two files are called b.yaml", "notes.txt": "ends with .yaml", "missing.yaml": "no such file",
	} {
		var paths []string
		for _, p := range strings.Fields(at) {
			paths = append(paths, filepath.Join(dir, p))
		}
		if _, err := Gather(paths); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s says %v", at, err)
		}
	}
}

func signer(t testing.TB, number byte) (ssh.Signer, signature.Keys) {
	t.Helper()
	s := must(ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{number}, ed25519.SeedSize))))(t)
	return s, must(signature.ParseKeys(ssh.MarshalAuthorizedKey(s.PublicKey())))(t)
}

func TestSign(t *testing.T) {
	alice, alices := signer(t, 1)
	bob, bobs := signer(t, 2)
	made, at := create(t, order(t, layoutOf(t, twoImages(t))), "a.tar.zst")
	b := must(Open(t.Context(), at))(t)
	if _, err := b.Verify(alices, time.Now()); !errors.Is(err, ErrUnsigned) {
		t.Errorf("says %v", err)
	}
	other := filepath.Join(t.TempDir(), "b.tar")
	for _, step := range []struct {
		by   ssh.Signer
		to   string
		have int
	}{{alice, at, 1}, {alice, at, 1}, {bob, other, 2}} {
		text := must(sign.Sign(step.by, b.Signed, signature.BundleNamespace))(t)
		if err := b.AddSignature(t.Context(), text, step.to); err != nil {
			t.Fatal(err)
		}
		b = must(Open(t.Context(), step.to))(t)
		if b.Signatures() != step.have || b.Digest != made.Digest || len(must(b.Texts(t.Context()))(t)) != 1 || len(b.Contents) != 2 {
			t.Errorf("%d signatures of %s", b.Signatures(), b.Digest)
		}
	}
	_, carols := signer(t, 3)
	for name, keys := range map[string]signature.Keys{"alice": alices, "bob": bobs} {
		if by, err := b.Verify(keys, time.Now()); err != nil || !strings.HasPrefix(by, "ssh key SHA256:") {
			t.Errorf("%s: %q, %v", name, by, err)
		}
	}
	if _, err := b.Verify(carols, time.Now()); err == nil || !strings.Contains(err.Error(), "this box does not know") {
		t.Errorf("says %v", err)
	}
	if b = must(Open(t.Context(), at))(t); b.Signatures() != 1 {
		t.Errorf("the other file has %d signatures", b.Signatures())
	}
	// A signature of a manifest is none of a bundle.
	text := must(sign.Sign(bob, b.Signed, signature.Namespace))(t)
	if err := b.AddSignature(t.Context(), text, at); err != nil {
		t.Fatal(err)
	}
	if _, err := must(Open(t.Context(), at))(t).Verify(bobs, time.Now()); err == nil || !strings.Contains(err.Error(), "made for another purpose") {
		t.Errorf("says %v", err)
	}
}

// A registry carries a bundle, with its signature.
func TestRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	alice, alices := signer(t, 1)
	_, at := create(t, order(t, layoutOf(t, twoImages(t))), "a.tar")
	b := must(Open(t.Context(), at))(t)
	if err := b.AddSignature(t.Context(), must(sign.Sign(alice, b.Signed, signature.BundleNamespace))(t), at); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files(t, at) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	top := must(must(ggcr.ImageIndexFromPath(dir))(t).IndexManifest())(t).Manifests[0]
	ref := must(name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/shop:" + top.Annotations[ocispec.AnnotationRefName]))(t)
	index := must(must(ggcr.ImageIndexFromPath(dir))(t).ImageIndex(top.Digest))(t)
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	back := t.TempDir()
	p := must(ggcr.Write(back, empty.Index))(t)
	if err := p.AppendIndex(must(remote.Index(ref))(t)); err != nil {
		t.Fatal(err)
	}
	carried := must(Open(t.Context(), back))(t)
	if _, err := carried.Verify(alices, time.Now()); err != nil || carried.Digest != b.Digest {
		t.Errorf("%s, %v", carried.Digest, err)
	}
}

// files are the files of a tar archive.
func files(t testing.TB, at string) map[string][]byte {
	t.Helper()
	f := must(os.Open(at))(t)
	defer f.Close()
	out := map[string][]byte{}
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = must(io.ReadAll(in))(t)
	}
}

// taken apart is a bundle of which a test changes parts.
type apart struct {
	t     testing.TB
	files map[string][]byte
}

func (a *apart) at(d digest.Digest) string { return path.Join("blobs/sha256", d.Encoded()) }

func (a *apart) get(d digest.Digest, into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.files[a.at(d)], into); err != nil {
		a.t.Fatal(err)
	}
}

func (a *apart) put(v any) ocispec.Descriptor {
	data := must(json.Marshal(v))(a.t)
	d := descriptor("", data)
	a.files[a.at(d.Digest)] = data
	return d
}

// mend changes the index, the artifact and the description, and has what names them fit.
func (a *apart) mend(change func(index *ocispec.Index, m *ocispec.Manifest, d *Description)) string {
	a.t.Helper()
	var top, index ocispec.Index
	var m ocispec.Manifest
	var d Description
	if err := json.Unmarshal(a.files["index.json"], &top); err != nil {
		a.t.Fatal(err)
	}
	a.get(top.Manifests[0].Digest, &index)
	a.get(index.Manifests[0].Digest, &m)
	a.get(m.Config.Digest, &d)
	change(&index, &m, &d)
	fit := func(of *ocispec.Descriptor, v any) {
		now := a.put(v)
		of.Digest, of.Size = now.Digest, now.Size
	}
	fit(&m.Config, d)
	if len(index.Manifests) > 0 {
		fit(&index.Manifests[0], m)
	}
	fit(&top.Manifests[0], index)
	a.files["index.json"] = must(json.Marshal(top))(a.t)
	at := filepath.Join(a.t.TempDir(), "x.tar")
	f := must(os.Create(at))(a.t)
	w := tar.NewWriter(f)
	for name, data := range a.files {
		err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600})
		if _, more := w.Write(data); errors.Join(err, more) != nil {
			a.t.Fatal(err, more)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		a.t.Fatal(err)
	}
	return at
}

func TestOpenRefuses(t *testing.T) {
	_, at := create(t, order(t, layoutOf(t, twoImages(t))), "a.tar")
	stranger := func(a *apart) ocispec.Descriptor {
		d := a.put(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest})
		d.MediaType = ocispec.MediaTypeImageManifest
		return d
	}
	for name, c := range map[string]struct {
		change func(a *apart, index *ocispec.Index, m *ocispec.Manifest, d *Description)
		says   string
	}{
		"nothing": {func(*apart, *ocispec.Index, *ocispec.Manifest, *Description) {}, ""},
		"no bundle": {func(_ *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) { i.Manifests = nil },
			"it is no bundle"},
		"two bundles": {func(_ *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) {
			i.Manifests = append(i.Manifests, i.Manifests[0])
		}, "two bundles in one"},
		"an image more": {func(a *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) {
			i.Manifests = append(i.Manifests, stranger(a))
		}, "somebody has added to it"},
		"a manifest with a path": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) {
			m.Layers[0].Annotations[ocispec.AnnotationTitle] = "../web.yaml"
		}, `"../web.yaml", which is no name of a manifest file`},
		"a manifest of a hidden name": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) {
			m.Layers[0].Annotations[ocispec.AnnotationTitle] = ".web.yaml"
		}, "no name of a manifest file"},
		"a manifest twice": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) {
			m.Layers = append(m.Layers, m.Layers[0])
		},
			"two manifests of the name web.yaml"},
		"a manifest that is not there": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) {
			m.Layers[0].Digest = digest.FromString("none")
		}, "named and not there"},
		"a manifest of another size": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) { m.Layers[0].Size++ },
			"bytes, and should have"},
		"a large manifest": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) { m.Layers[0].Size = 1 << 40 },
			"web.yaml has 1099511627776 bytes"},
		"no manifests": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) { m.Layers = nil }, "it has no manifests"},
		"a part of a later version": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) { m.Layers[0].MediaType = "x" },
			"which this version of Solopod does not know"},
		"a description of a later version": {func(_ *apart, _ *ocispec.Index, m *ocispec.Manifest, _ *Description) { m.Config.MediaType = "x" },
			"which this version of Solopod does not know"},
		"a name with a path": {func(_ *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) { d.Name = "../x" }, "is none"},
		"a short image name": {func(_ *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) { d.Images[0].Name = "db" }, "no full name"},
		"a digest that is none": {func(_ *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) { d.Images[0].Target.Digest = "x" },
			"somebody has added to it"},
		"an image that is none": {func(_ *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) {
			d.Images[0].Target.MediaType = "x"
		},
			`an image is of the type "x"`},
		"many images": {func(_ *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) {
			d.Images = slices.Repeat(d.Images, MaxImages)
		}, "and may have"},
		"deep indexes": {func(a *apart, i *ocispec.Index, _ *ocispec.Manifest, d *Description) {
			for range maxDepth + 1 {
				inner := d.Images[0].Target
				d.Images[0].Target = a.put(ocispec.Index{Manifests: []ocispec.Descriptor{inner}})
				d.Images[0].Target.MediaType = ocispec.MediaTypeImageIndex
			}
			i.Manifests[1].Digest, i.Manifests[1].Size, i.Manifests[1].MediaType = d.Images[0].Target.Digest, d.Images[0].Target.Size, ocispec.MediaTypeImageIndex
		}, "nested more than"},
		"a part that is named again and again": {func(a *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) {
			large := a.put(ocispec.Manifest{Annotations: map[string]string{"x": strings.Repeat("x", 3<<20)}})
			large.MediaType = ocispec.MediaTypeImageManifest
			i.Manifests = append(i.Manifests, slices.Repeat([]ocispec.Descriptor{large}, 100)...)
		}, "its parts name each other so often"},
		"a long index": {func(_ *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) {
			i.Manifests = slices.Repeat(i.Manifests, MaxImages)
		}, "an index in it names more than"},
		"many parts": {func(a *apart, _ *ocispec.Index, _ *ocispec.Manifest, d *Description) {
			all := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: d.Images[0].Target}
			for n := range maxParts - 3 {
				all.Layers = append(all.Layers, a.put(n))
			}
			target := a.put(all)
			target.MediaType = ocispec.MediaTypeImageManifest
			for n := range 11 {
				d.Images = append(d.Images, Image{fmt.Sprintf("example.com/more:%d", n), target})
			}
		}, "its images consist of more than"},
		"a signature that is none": {func(a *apart, i *ocispec.Index, _ *ocispec.Manifest, _ *Description) {
			s := a.put(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: SignatureType})
			s.MediaType = ocispec.MediaTypeImageManifest
			i.Manifests = append(i.Manifests, s)
		}, "a signature in it is none"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &apart{t, files(t, at)}
			_, err := Open(t.Context(), a.mend(func(i *ocispec.Index, m *ocispec.Manifest, d *Description) { c.change(a, i, m, d) }))
			if (err != nil) != (c.says != "") || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("says %v", err)
			}
			if err != nil && !errors.Is(err, layout.ErrRefused) {
				t.Errorf("%v is not the file's fault", err)
			}
		})
	}
}

// Whatever is changed in what is signed: the signature does not fit any more, or the bundle is none.
func TestChangedAfterSigning(t *testing.T) {
	alice, alices := signer(t, 1)
	_, at := create(t, order(t, layoutOf(t, twoImages(t))), "a.tar")
	b := must(Open(t.Context(), at))(t)
	if err := b.AddSignature(t.Context(), must(sign.Sign(alice, b.Signed, signature.BundleNamespace))(t), at); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(a *apart, m *ocispec.Manifest, d *Description){
		"the version": func(_ *apart, _ *ocispec.Manifest, d *Description) { d.Version = "9" },
		"an image": func(_ *apart, _ *ocispec.Manifest, d *Description) {
			d.Images[0].Target, d.Images[1].Target = d.Images[1].Target, d.Images[0].Target
		},
		"a manifest": func(a *apart, m *ocispec.Manifest, _ *Description) {
			n := descriptor(ManifestType, []byte("other"))
			a.files[a.at(n.Digest)] = []byte("other")
			m.Layers[0].Digest, m.Layers[0].Size = n.Digest, n.Size
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &apart{t, files(t, at)}
			b, err := Open(t.Context(), a.mend(func(_ *ocispec.Index, m *ocispec.Manifest, d *Description) { change(a, m, d) }))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Verify(alices, time.Now()); !strings.Contains(fmt.Sprint(err), "does not fit") {
				t.Errorf("says %v", err)
			}
		})
	}
}
