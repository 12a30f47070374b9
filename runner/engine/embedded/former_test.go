package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	bolt "go.etcd.io/bbolt"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/sealing"
	"github.com/solopod/solopod/runner/seal"
)

const formerSecret = "hunter2-of-an-earlier-version"

// former is a database as an earlier version leaves it.
type former struct {
	Config
	t    *testing.T
	meta string
	ctx  context.Context
}

func newFormer(t *testing.T) *former {
	t.Helper()
	dir := t.TempDir()
	f := &former{t: t, Config: Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state")}, ctx: namespaces.WithNamespace(t.Context(), engine.Namespace)}
	f.Seal = seal.NewStore(filepath.Join(dir, "seal"), "/nowhere")
	t.Cleanup(func() {
		if err := f.Seal.Drop(); err != nil {
			t.Error(err)
		}
	})
	f.meta = filepath.Join(f.Root, metadataDir, "meta.db")
	if err := os.MkdirAll(filepath.Dir(f.meta), 0o700); err != nil {
		t.Fatal(err)
	}
	f.store(func(s containers.Store) {
		for i := range 50 {
			id := fmt.Sprintf("id-%d", i)
			spec := f.record(s, id, map[string]string{"a": "b"})
			if i%2 == 0 {
				if err := s.Delete(f.ctx, id); err != nil { // its pages are freed
					t.Fatal(err)
				}
				continue
			}
			bundle := filepath.Join(namespaceDir(f.State), id)
			if err := os.MkdirAll(bundle, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(bundle, "config.json"), spec.GetValue(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	return f
}

func (f *former) store(use func(containers.Store)) {
	f.t.Helper()
	db, err := bolt.Open(f.meta, 0o644, databaseOptions())
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	use(metadata.NewContainerStore(metadata.NewDB(db, nil, nil)))
}

// record records a container as an earlier version does, but for labels.
func (f *former) record(s containers.Store, id string, labels map[string]string) typeurl.Any {
	f.t.Helper()
	spec, err := typeurl.MarshalAny(&specs.Spec{Version: "1.0.2", Hostname: id, Process: &specs.Process{
		Args: []string{"sh", formerSecret}, Env: []string{"PATH=/bin", "PASSWORD=" + formerSecret, "ID=" + id}, Cwd: "/srv",
	}})
	if err == nil {
		_, err = s.Create(f.ctx, containers.Container{ID: id, Labels: labels, Spec: spec, Runtime: containers.RuntimeInfo{Name: "x"}})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return spec
}

// holding lists the files that have the secret.
func (f *former) holding() (found []string) {
	f.t.Helper()
	for _, dir := range []string{f.Root, f.State} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if bytes.Contains(content, []byte(formerSecret)) {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return found
}

// good: the records are what they were, and the secret is in none of them.
func (f *former) good() {
	f.t.Helper()
	if found := f.holding(); len(found) > 0 {
		f.t.Errorf("the secret is still in %s", strings.Join(found, ", "))
	}
	if err := checkDatabase(f.meta); err != nil {
		f.t.Error(err)
	}
	key, err := f.Seal.Existing()
	if err != nil {
		f.t.Fatal(err)
	}
	f.store(func(s containers.Store) {
		records, err := s.List(f.ctx)
		if err != nil || len(records) != 25 {
			f.t.Fatalf("%d records, %v", len(records), err)
		}
		for _, r := range records {
			var spec specs.Spec
			if err := json.Unmarshal(r.Spec.GetValue(), &spec); err != nil {
				f.t.Fatal(err)
			}
			p, err := key.Open(spec.Process.Env)
			if err != nil || !slices.Equal(p.Args, []string{"sh", formerSecret}) || !slices.Equal(p.Env, []string{"PATH=/bin", "PASSWORD=" + formerSecret, "ID=" + r.ID}) {
				f.t.Errorf("%s: %+v, %v", r.ID, p, err)
			}
			if r.Labels[sealing.Label] != sealing.Later || r.Labels["a"] != "b" || r.Runtime.Name != "x" || spec.Hostname != r.ID || spec.Process.Cwd != "/srv" || spec.Process.Env[0] != "PATH=/bin" {
				f.t.Errorf("%s is not what it was: %+v, %+v", r.ID, r, spec)
			}
			config, err := os.ReadFile(filepath.Join(namespaceDir(f.State), r.ID, "config.json"))
			if err != nil || !bytes.Equal(config, r.Spec.GetValue()) {
				f.t.Errorf("%s: its bundle has another spec (%v)", r.ID, err)
			}
		}
	})
}

func TestCleanFormer(t *testing.T) {
	f := newFormer(t)
	if len(f.holding()) != 26 {
		t.Fatal("it does not begin as an earlier version leaves it")
	}
	old, err := os.Open(f.meta)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if !f.cleanFormer(t.Context()) {
		t.Fatal("it is not clean")
	}
	f.good()
	info, err := old.Stat()
	if err != nil {
		t.Fatal(err)
	}
	blocks := make([]byte, info.Size())
	if _, err := old.ReadAt(blocks, 0); err != nil || len(bytes.Trim(blocks, "\x00")) > 0 {
		t.Errorf("the old file is not overwritten (%v)", err)
	}
	f.markClean()
	f.store(func(s containers.Store) { f.record(s, "new", map[string]string{sealing.Label: sealing.Nothing}) }) // what comes later is not touched
	if f.cleanFormer(t.Context()) || len(f.holding()) != 1 {
		t.Error("it was cleaned again")
	}
}

// After a downgrade an earlier version has written to a database that was clean. The mark does not hide that, nor does a crash.
func TestCleanFormerAfterDowngrade(t *testing.T) {
	f := newFormer(t)
	if !f.cleanFormer(t.Context()) {
		t.Fatal("it is not clean")
	}
	f.markClean()
	f.store(func(s containers.Store) {
		if err := s.Delete(f.ctx, "id-1"); err != nil {
			t.Fatal(err)
		}
		f.record(s, "id-1", map[string]string{"a": "b"})
	})
	if len(f.holding()) != 1 {
		t.Fatal("it does not begin as an earlier version leaves it")
	}
	if err := os.Mkdir(f.meta+".new", 0o700); err != nil { // a first try is in vain
		t.Fatal(err)
	}
	inTheWay := f.meta + ".new/in-the-way"
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.cleanFormer(t.Context()) {
		t.Error("it counts as clean")
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if !f.cleanFormer(t.Context()) {
		t.Error("it is not clean")
	}
	f.good()
	f.markClean()
	if f.cleanFormer(t.Context()) {
		t.Error("it was cleaned again")
	}
}

// A crash at any point leaves a database that the next start cleans.
func TestCleanFormerAfterCrash(t *testing.T) {
	for name, crash := range map[string]func(f *former){
		"before the new database was whole": func(f *former) {
			if err := os.WriteFile(f.meta+".new", []byte("half of "+formerSecret), 0o600); err != nil {
				f.t.Fatal(err)
			}
		},
		"with sealed records and freed pages": func(f *former) {
			db, err := bolt.Open(f.meta, 0o644, databaseOptions())
			if err == nil {
				err = f.sealRecords(f.ctx, db)
			}
			if err == nil {
				err = db.Close()
			}
			if err != nil || len(f.holding()) == 0 {
				f.t.Fatalf("there are no freed pages (%v)", err)
			}
		},
		"before the new database took the old one's place": func(f *former) {
			if err := os.Link(f.meta, f.meta+formerSuffix); err != nil {
				f.t.Fatal(err)
			}
		},
		"before the zeros": func(f *former) {
			old, err := os.ReadFile(f.meta)
			if err != nil || !f.cleanFormer(f.ctx) {
				f.t.Fatalf("it is not clean (%v)", err)
			}
			if err := os.WriteFile(f.meta+formerSuffix, old, 0o600); err != nil {
				f.t.Fatal(err)
			}
			file, err := os.Open(f.meta + formerSuffix)
			if err != nil {
				f.t.Fatal(err)
			}
			f.t.Cleanup(func() {
				defer file.Close()
				blocks := make([]byte, len(old))
				if _, err := file.ReadAt(blocks, 0); err != nil || len(bytes.Trim(blocks, "\x00")) > 0 {
					f.t.Errorf("the old file is not overwritten (%v)", err)
				}
			})
		},
		"before the mark": func(f *former) { f.cleanFormer(f.ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFormer(t)
			crash(f)
			if !f.cleanFormer(t.Context()) {
				t.Fatal("it is not clean")
			}
			f.good()
			for _, left := range []string{".new", formerSuffix} {
				if _, err := os.Lstat(f.meta + left); err == nil {
					t.Errorf("%s is left", f.meta+left)
				}
			}
		})
	}
}

// A new root is clean; one that cannot be cleaned is left as it is, for the next start.
func TestCleanFormerOthers(t *testing.T) {
	f := newFormer(t)
	if err := os.Mkdir(f.meta+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.meta+".new/in-the-way", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.cleanFormer(t.Context()) {
		t.Error("it counts as clean")
	}
	if err := checkDatabase(f.meta); err != nil {
		t.Error(err)
	}
	empty := Config{Root: filepath.Join(t.TempDir(), "none"), Seal: f.Seal}
	if !empty.cleanFormer(t.Context()) {
		t.Error("nothing is not clean")
	}
}
