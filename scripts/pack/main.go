// Pack makes an OCI image archive from files of this machine: no registry and no build tool is needed.
//
//	pack -o web.tar -name solopod.example/web:1 -entrypoint /web bin/web:/web
//	pack -o etcd.tar -name registry.example/etcd:1 -libs /usr/bin/etcd:/usr/local/bin/etcd
//
// With -libs the shared libraries of each binary, and the loader, are packed as well, as ldd lists them.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

type options struct {
	out, name, entrypoint, cmd, user, stopSignal string
	root                                         string
	env                                          []string
	libs                                         bool
	files                                        map[string]string // in the image -> on this machine
	links                                        map[string]string // in the image -> target
}

func main() {
	log.SetFlags(0)
	o := options{files: map[string]string{}, links: map[string]string{}}
	flag.StringVar(&o.out, "o", "image.tar", "archive to write")
	flag.StringVar(&o.name, "name", "", "image reference")
	flag.StringVar(&o.entrypoint, "entrypoint", "", "entrypoint, words separated by blanks")
	flag.StringVar(&o.cmd, "cmd", "", "arguments, words separated by blanks")
	flag.StringVar(&o.user, "user", "", "user, as in USER")
	flag.StringVar(&o.stopSignal, "stop-signal", "", "stop signal, as in STOPSIGNAL")
	flag.BoolVar(&o.libs, "libs", false, "pack the binaries' shared libraries as well")
	flag.StringVar(&o.root, "root", "", "directory of unpacked packages, of which libraries (found by LD_LIBRARY_PATH) are packed as if it were /")
	flag.Func("env", "NAME=VALUE, repeatable", func(s string) error { o.env = append(o.env, s); return nil })
	flag.Func("link", "PATH=TARGET, a symbolic link, repeatable", func(s string) error {
		link, target, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("want PATH=TARGET")
		}
		o.links[inImage(link)] = target
		return nil
	})
	flag.Parse()
	for _, arg := range flag.Args() {
		source, destination, ok := strings.Cut(arg, ":")
		if !ok {
			destination = source
		}
		o.files[inImage(destination)] = source
	}
	if err := run(o); err != nil {
		log.Fatal("pack: ", err)
	}
}

// inImage is a path in the image, which begins at its root.
func inImage(name string) string { return path.Clean("/" + name) }

func run(o options) error {
	if o.libs {
		for _, source := range mapValues(o.files) {
			libs, err := libraries(source)
			if err != nil {
				return err
			}
			for _, lib := range libs {
				o.files[strings.TrimPrefix(lib, o.root)] = lib
			}
		}
	}
	layer, err := makeLayer(o)
	if err != nil {
		return err
	}
	return writeArchive(o, layer)
}

func mapValues(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

var libraryPath = regexp.MustCompile(`(/\S+) \(0x`)

func libraries(binary string) ([]string, error) {
	out, err := exec.Command("ldd", binary).CombinedOutput()
	if err != nil {
		if bytes.Contains(out, []byte("not a dynamic executable")) {
			return nil, nil
		}
		return nil, fmt.Errorf("ldd %s: %w: %s", binary, err, out)
	}
	var libs []string
	for _, m := range libraryPath.FindAllSubmatch(out, -1) {
		libs = append(libs, string(m[1]))
	}
	return libs, nil
}

func makeLayer(o options) (v1.Layer, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	made := map[string]bool{}
	names := mapKeys(o.files)
	for _, name := range names {
		if err := makeDirs(tw, made, path.Dir(name)); err != nil {
			return nil, err
		}
		if err := addFile(tw, name, o.files[name]); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"/tmp", "/etc", "/proc", "/sys", "/dev", "/var"} {
		if err := makeDirs(tw, made, dir); err != nil {
			return nil, err
		}
	}
	for _, link := range mapKeys(o.links) {
		if err := makeDirs(tw, made, path.Dir(link)); err != nil {
			return nil, err
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: link[1:], Linkname: o.links[link], Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
}

func mapKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func makeDirs(tw *tar.Writer, made map[string]bool, dir string) error {
	if dir == "/" || made[dir] {
		return nil
	}
	if err := makeDirs(tw, made, path.Dir(dir)); err != nil {
		return err
	}
	made[dir] = true
	mode := int64(0o755)
	if dir == "/tmp" {
		mode = 0o1777
	}
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: mode})
}

func addFile(tw *tar.Writer, name, source string) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "pack", Path: source, Err: fmt.Errorf("not a regular file")}
	}
	if err := tw.WriteHeader(&tar.Header{Name: name[1:], Mode: openMode(info.Mode()), Size: info.Size()}); err != nil {
		return err
	}
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(tw, f)
	return err
}

// openMode is a file's mode in the image: what its owner may read or run everybody may, for containers run as many users. In the tree it has the
// mode that the umask of whoever built it left.
func openMode(mode fs.FileMode) int64 {
	mode = mode.Perm()
	return int64(mode | mode&0o500>>3 | mode&0o500>>6)
}

func writeArchive(o options, layer v1.Layer) error {
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", architecture()
	file.Config = v1.Config{
		Entrypoint: strings.Fields(o.entrypoint), Cmd: strings.Fields(o.cmd), User: o.user, Env: o.env, StopSignal: o.stopSignal,
	}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	err = l.AppendImage(image, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name": o.name, "org.opencontainers.image.ref.name": o.name,
	}))
	if err != nil {
		return err
	}
	return tarDir(dir, o.out)
}

// tarDir writes the layout as one file, moved into place when it is whole.
func tarDir(dir, out string) error {
	f, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	tw := tar.NewWriter(f)
	if err := tw.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), out)
}
