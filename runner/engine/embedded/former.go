package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/sealing"
	"github.com/solopod/solopod/runner/seal"
)

// Earlier versions of Solopod left values of Secrets in containerd's database: in the records of containers, and in pages that were
// freed with them. The first start of this one seals those records, writes the database anew without freed pages, and writes zeros over
// the old file. A crash leaves the one or the other database, and the next start does it again; the old file keeps a name until the
// zeros are in it. The containers run on.

// sealedMark says that the database beside it was never written by such a version, or has been cleaned. A record without a label tells that
// one has written to it since, after a downgrade.
const sealedMark = "sealed"

func sealedMarkOf(root string) string { return filepath.Join(root, metadataDir, sealedMark) }

// cleanFormer does so, unless it was done. It says whether the mark may be made: where it fails, the next start tries again.
func (c Config) cleanFormer(ctx context.Context) (clean bool) {
	meta := filepath.Join(c.Root, metadataDir, "meta.db")
	if c.Seal == nil {
		return false
	}
	_, err := os.Lstat(sealedMarkOf(c.Root))
	marked := err == nil
	_, err = os.Lstat(meta)
	missing := errors.Is(err, fs.ErrNotExist)
	if marked {
		if missing || !formerSince(ctx, meta) {
			return false
		}
		c.unmark()
	}
	if err = erase(meta); err == nil && !missing { // first what a start that was cut off has left
		err = c.clean(ctx, meta)
	}
	if err != nil {
		slog.Error("values of Secrets that an earlier version left in containerd's database are still there; the next start tries again", "err", err)
		return false
	}
	return true
}

// formerSince says whether an earlier version has recorded a container after the database was cleaned.
func formerSince(ctx context.Context, meta string) bool {
	db, err := bolt.Open(meta, 0o600, databaseOptions())
	if err != nil {
		return false // containerd, which opens it next, says why
	}
	defer db.Close() //nolint:errcheck // only read from
	records, err := metadata.NewContainerStore(metadata.NewDB(db, nil, nil)).List(namespaces.WithNamespace(ctx, engine.Namespace))
	return err == nil && slices.ContainsFunc(records, func(r containers.Container) bool { return r.Labels[sealing.Label] == "" })
}

// unmark has the next start go on with a cleaning that is not finished.
func (c Config) unmark() {
	err := os.Remove(sealedMarkOf(c.Root))
	if err == nil {
		err = durable.SyncDir(filepath.Join(c.Root, metadataDir))
	}
	if err != nil {
		slog.Warn("if this start does not clean containerd's database of values of Secrets, the next one may not either", "err", err)
	}
}

func (c Config) markClean() {
	if err := durable.WriteFile(sealedMarkOf(c.Root), nil, 0o600); err != nil {
		slog.Warn("the next start looks for values of Secrets in containerd's database again", "err", err)
	}
}

func (c Config) clean(ctx context.Context, meta string) error {
	db, err := bolt.Open(meta, 0o600, databaseOptions())
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is under way
	if err := c.sealRecords(namespaces.WithNamespace(ctx, engine.Namespace), db); err != nil {
		return err
	}
	return rewrite(db, meta)
}

// databaseOptions are containerd's own (plugins/metadata), but that another process which has the database is not waited for.
func databaseOptions() *bolt.Options {
	o := *bolt.DefaultOptions
	o.NoFreelistSync, o.NoGrowSync, o.Timeout = true, false, 10*time.Second
	return &o
}

// sealRecords seals all records of containers: nobody can tell which of them have values of Secrets.
func (c Config) sealRecords(ctx context.Context, db *bolt.DB) error {
	store := metadata.NewContainerStore(metadata.NewDB(db, nil, nil))
	records, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		switch r.Labels[sealing.Label] {
		case sealing.AtStart, sealing.Nothing:
			continue
		case "":
			if r, err = c.sealed(r); err == nil {
				_, err = store.Update(ctx, r, "spec", "labels")
			}
			if err != nil {
				return fmt.Errorf("container %s: %w", r.ID, err)
			}
		}
		// The shim reads no environment in it.
		config := filepath.Join(namespaceDir(c.State), r.ID, "config.json")
		if _, err := os.Lstat(config); err == nil {
			if err := durable.Replace(config, r.Spec.GetValue(), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// shownVariables are those that are not from the manifest, as a rule.
var shownVariables = []string{"PATH", "HOSTNAME", "TERM"}

func (c Config) sealed(r containers.Container) (containers.Container, error) {
	var s specs.Spec
	if err := json.Unmarshal(r.Spec.GetValue(), &s); err != nil {
		return r, err
	}
	if s.Process == nil {
		return r, nil
	}
	key, err := c.Seal.Key()
	if err != nil {
		return r, err
	}
	shown := seal.Process{Args: []string{"sealed"}}
	for _, e := range s.Process.Env {
		if name, _, _ := strings.Cut(e, "="); slices.Contains(shownVariables, name) {
			shown.Env = append(shown.Env, e)
		}
	}
	spec, err := sealing.Spec(&s, shown, key)
	if err != nil {
		return r, err
	}
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	r.Labels[sealing.Label] = sealing.Later
	r.Spec, err = typeurl.MarshalAny(spec)
	return r, err
}

// rewrite puts a database without freed pages in the place of db, and writes zeros over the old file.
func rewrite(db *bolt.DB, path string) error {
	building := path + ".new"
	if err := os.Remove(building); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fresh, err := bolt.Open(building, 0o600, databaseOptions())
	if err != nil {
		return err
	}
	err = bolt.Compact(fresh, db, 1<<16)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return errors.Join(err, os.Remove(building))
	}
	if err := os.Link(path, path+formerSuffix); err != nil {
		return err
	}
	if err := os.Rename(building, path); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return erase(path)
}

// formerSuffix ends the name under which the old database is found until it is erased.
const formerSuffix = ".former"

// erase writes zeros over the database that the one at path has replaced, and removes it; there may be none. Where it is the same file
// still, it was not replaced.
func erase(path string) error {
	former := path + formerSuffix
	f, err := durable.OpenFile(former, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // overwrite tells
	info, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || !os.SameFile(now, info) {
		if err := overwrite(f, info.Size()); err != nil {
			return err
		}
	}
	return os.Remove(former)
}

// overwrite writes zeros over a file. A disk that moves what is written may keep the old blocks.
func overwrite(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		n := min(int64(len(zeros)), size-at)
		if _, err := f.WriteAt(zeros[:n], at); err != nil {
			return err
		}
	}
	return unix.Fsync(int(f.Fd()))
}
