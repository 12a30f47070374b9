package intake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// stream is a packed layer as containerd hands it over.
type stream struct{ io.Reader }

func (stream) Close() error      { return nil }
func (stream) MediaType() string { return ocispec.MediaTypeImageLayerGzip }

// unpack reads a layer as containerd's code does, and returns what it got of it.
func unpack(t *testing.T, l Limits, packed io.Reader, length int64) ([]byte, error) {
	t.Helper()
	ctx := context.WithValue(Begin(t.Context(), l), packedKey{}, length)
	p, err := diff.GetProcessor(ctx, stream{packed}, nil)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if _, ours := p.(*layer); !ours {
		t.Fatalf("it is unpacked by %T", p)
	}
	var got bytes.Buffer
	_, err = io.Copy(&got, p)
	return got.Bytes(), err
}

func header(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tar.NewWriter(&out).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An honest layer passes as it is, whatever it is packed with, also one that is no tar stream: who unpacks it says so.
func TestHonestLayer(t *testing.T) {
	s := newShelf(t)
	s.add("a", bytes.Repeat([]byte("text "), 1<<20))
	s.add("b", nil)
	plain := s.bytes()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][2][]byte{
		"plain": {plain, plain}, "gzip": {packed(t, plain), plain}, "zstd": {z.EncodeAll(plain, nil), plain}, "text": {[]byte("text"), []byte("text")}, "empty": {nil, nil},
	} {
		got, err := unpack(t, Limits{Disk: Disk(t.TempDir())}, bytes.NewReader(data[0]), int64(len(data[0])))
		if err != nil || !bytes.Equal(got, data[1]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// What would fill the disk is refused before a byte of it comes out.
func TestLayerLimits(t *testing.T) {
	huge := header(t, tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 1 << 30})
	sparse := header(t, tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Format: tar.FormatPAX, Size: 512, PAXRecords: nil})
	for name, c := range map[string]struct {
		limits Limits
		stream io.Reader
		packed int64
		want   string
	}{
		"1 GiB of 1 MB":                       {Limits{}, endless{bytes.NewReader(huge)}, 1 << 20, "that is no honest image"},
		"as many as the configuration allows": {Limits{MaxSize: 1<<30 - 1}, endless{bytes.NewReader(huge)}, 1 << 30, "imageMaxSize in the configuration allows"},
		"8 EiB":                               {Limits{Disk: Disk(t.TempDir())}, endless{bytes.NewReader(header(t, tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: math.MaxInt64, Format: tar.FormatGNU}))}, math.MaxInt64, "no space left on device: it needs 8.0 EiB more"},
		"zeros at its end":                    {Limits{}, endless{bytes.NewReader(append(sparse, make([]byte, 512+1024)...))}, 1024, "that is no honest image"},
		"the memory of zstd":                  {Limits{}, bytes.NewReader(window(40)), 1 << 20, "takes more than 128.0 MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := unpack(t, c.limits, c.stream, c.packed)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
				t.Errorf("%v", err)
			}
			if wanted := strings.HasPrefix(c.want, "no space"); errors.Is(err, unix.ENOSPC) != wanted || errors.Is(err, ErrRefused) == wanted {
				t.Errorf("its kind is another: %v", err)
			}
			if len(got) > fewBytes+maxRatio*1024+ahead {
				t.Errorf("%d bytes came out", len(got))
			}
		})
	}
	// Each layer alone would do; together they do not.
	ctx := Begin(t.Context(), Limits{MaxSize: 3 << 29})
	for i := range 2 {
		p, err := diff.GetProcessor(context.WithValue(ctx, packedKey{}, int64(1<<30)), stream{bytes.NewReader(huge)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, p); (err != nil) != (i == 1) || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("layer %d: %v", i, err)
		}
		p.Close()
	}
}

// sparseHeader is that of a file which is one hole of 4 GiB, in GNU tar's old form: whoever gets it can write all of that, and needs nothing
// more of the stream.
func sparseHeader(t *testing.T, name string) []byte {
	t.Helper()
	b := header(t, tar.Header{Name: name, Typeflag: tar.TypeReg, Format: tar.FormatGNU})
	const size = "40000000000\x00" // octal
	b[156] = tar.TypeGNUSparse
	copy(b[386:], size+"00000000000\x00") // the file's only piece: nothing, at its end
	copy(b[483:], size)
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// A refused entry does not come out, not even when it is the last thing of what was read at once: of a sparse file everything is in it.
func TestNoRefusedEntryComesOut(t *testing.T) {
	bomb := sparseHeader(t, "sparse")
	if h, err := tar.NewReader(bytes.NewReader(bomb)).Next(); err != nil || h.Size != 4<<30 {
		t.Fatalf("%+v, %v", h, err)
	}
	for range 1000 {
		ctx := context.WithValue(Begin(t.Context(), Limits{}), packedKey{}, int64(len(bomb)))
		p, err := diff.GetProcessor(ctx, stream{bytes.NewReader(bomb)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := tar.NewReader(p).Next()
		p.Close()
		if !errors.Is(err, ErrRefused) {
			t.Fatalf("it came out: %+v, %v", h, err)
		}
	}
}

// window is the beginning of a zstd frame that wants 2^exponent bytes of memory (RFC 8878, 3.1.1.1).
func window(exponent byte) []byte {
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, (exponent - 10) << 3, 0x0b, 0, 0}, make([]byte, 100)...) // and a block of one byte over and over
}

// Without an account, as in the server of the same process, containerd unpacks as it always does.
func TestNoAccount(t *testing.T) {
	p, err := diff.GetProcessor(t.Context(), stream{strings.NewReader("")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, ours := p.(*layer); ours {
		t.Error("it is counted")
	}
}

// What a registry names is bounded before it is fetched.
func TestBound(t *testing.T) {
	desc := func(mediaType string, size int64) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(mediaType), Size: size}
	}
	config := desc(ocispec.MediaTypeImageConfig, 1)
	for name, c := range map[string]struct {
		desc     ocispec.Descriptor
		children []ocispec.Descriptor
		want     string
	}{
		"good":                 {desc(ocispec.MediaTypeImageManifest, 100), []ocispec.Descriptor{config, desc(ocispec.MediaTypeImageLayer, 1<<20)}, ""},
		"more than is allowed": {desc(ocispec.MediaTypeImageManifest, 100), []ocispec.Descriptor{config, desc(ocispec.MediaTypeImageLayer, 1<<39), desc("y", 1<<39)}, "imageMaxSize in the configuration allows 1.0 TiB"},
		"a huge index":         {desc(ocispec.MediaTypeImageIndex, maxJSON+1), nil, "may have 4.0 MiB"},
		"many layers":          {desc(ocispec.MediaTypeImageManifest, 100), make([]ocispec.Descriptor, maxLayers+2), "501 layers"},
		"configuration":        {desc(ocispec.MediaTypeImageManifest, 100), []ocispec.Descriptor{desc("x", maxJSON+1)}, "its configuration has 4.0 MiB"},
		"no digest":            {ocispec.Descriptor{Digest: "sha256:x"}, nil, "no digest"},
		"a page":               {desc("text/html", 100), nil, `of the type "text/html", which no image has`},
		"a negative size":      {desc(ocispec.MediaTypeImageLayer, -1), nil, "may have"},
	} {
		fetched := false
		_, err := Bound(newShelf(t).store, Limits{MaxSize: 1 << 40, Disk: Disk(t.TempDir())})(images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			fetched = true
			return c.children, nil
		})).Handle(t.Context(), c.desc)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if c.children == nil && fetched {
			t.Errorf("%s: it was fetched", name)
		}
	}
	full := Bound(newShelf(t).store, Limits{Disk: Disk(t.TempDir())})(images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return []ocispec.Descriptor{config, desc(ocispec.MediaTypeImageLayer, math.MaxInt64)}, nil
	}))
	if _, err := full.Handle(t.Context(), desc(ocispec.MediaTypeImageManifest, 100)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more than the disk has: %v", err)
	}
	// A chain that has no end.
	n := 0
	err := images.Dispatch(t.Context(), Bound(newShelf(t).store, Limits{})(images.HandlerFunc(func(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		n++
		return []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString(string(d.Digest)), Size: 1}}, nil
	})), nil, desc(ocispec.MediaTypeImageIndex, 1))
	if !errors.Is(err, ErrRefused) || n > maxDepth {
		t.Errorf("%d were fetched: %v", n, err)
	}
}

// Who uses the disk in any case leaves some of it.
func TestDisk(t *testing.T) {
	d := Disk(t.TempDir())
	bytes, files := d.room()
	if bytes <= 0 || files <= 0 {
		t.Fatalf("the disk is full: %d bytes, %d files", bytes, files)
	}
	if err := d.Take(bytes/2, 1); err != nil {
		t.Error(err)
	}
	if err := d.Take(bytes+bytes/4+1<<30, 1); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	if err := Disk("").Take(math.MaxInt64, math.MaxInt64); err != nil {
		t.Errorf("a disk that is not known: %v", err)
	}
}

// FuzzRead: whatever an archive holds, it is read within bounds, and what an image consists of is what its digests say.
func FuzzRead(f *testing.F) {
	for _, make := range []func(s *shelf){
		func(s *shelf) { s.called("web:1", s.image([]byte("layer"))) },
		func(s *shelf) { s.called("web:1", s.indexOf(s.image([]byte("layer")))) },
		func(s *shelf) { s.called("../x", chain(s, 5)) },
		func(s *shelf) { s.called("web:1", fan(s, 2)) },
		func(s *shelf) {
			s.add("c.json", []byte(`{"os":"linux","architecture":"amd64"}`))
			s.add("l", []byte("layer"))
			s.add("manifest.json", []byte(`[{"Config":"c.json","RepoTags":["web:1"],"Layers":["l"]}]`))
		},
		func(s *shelf) { s.called("web:1", ofConfig(s, []byte("{}"))) },
	} {
		s := newShelf(f)
		make(s)
		f.Add(s.bytes())
		f.Add(packed(f, s.bytes()))
	}
	f.Add(window(40))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newShelf(t)
		list, err := s.read(bytes.NewReader(data))
		if err != nil {
			if len(err.Error()) > 10_000 {
				t.Errorf("a long error: %.200s", err)
			}
			return
		}
		for _, i := range list {
			if _, err := naming(i.Name); err != nil {
				t.Errorf("%q: %v", i.Name, err)
			}
		}
		for _, d := range blobs(s) {
			if data, err := s.store.ReaderAt(t.Context(), ocispec.Descriptor{Digest: d}); err != nil {
				t.Error(err)
			} else {
				v := d.Verifier()
				if _, err := io.Copy(v, io.NewSectionReader(data, 0, data.Size())); err != nil || !v.Verified() {
					t.Errorf("%s holds something else: %v", d, err)
				}
				data.Close()
			}
		}
	})
}
