// Package durable keeps Solopod's own files: written so that a crash or a power cut leaves either the old content or the new one, and
// read so that nothing that is found in their place can hold the reader up.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// WriteFile replaces path with data: a temporary file beside it is written and synced, renamed, and the directory is
// synced. On an error the old file is untouched.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := replace(path, data, mode, (*os.File).Sync); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Replace replaces path with data in one step, but does not wait for the disk: it survives a crash of the process, and
// after a power cut the old content may be back. Sync makes it durable.
func Replace(path string, data []byte, mode os.FileMode) error {
	return replace(path, data, mode, func(*os.File) error { return nil })
}

func replace(path string, data []byte, mode os.FileMode, sync func(*os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := sync(f); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return f.Close()
}

// RemoveUnfinished removes what writings of path that were cut short have left beside it, and the directory where nothing else is in it.
// A writing of path at the same time may fail for it, and leaves what was there before.
func RemoveUnfinished(path string) error {
	err := RemoveTemporary(path)
	if errors.Is(err, os.ErrNotExist) {
		return err
	}
	if gone := os.Remove(filepath.Dir(path)); !errors.Is(gone, unix.ENOTEMPTY) {
		err = errors.Join(err, gone)
	}
	return err
}

// RemoveTemporary is as RemoveUnfinished, and leaves the directory.
func RemoveTemporary(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporaryPrefix(path)) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// temporaryPrefix begins the names of files that are to take path's place.
func temporaryPrefix(path string) string { return "." + filepath.Base(path) + "." }

// SyncDir makes the entries of a directory durable.
func SyncDir(dir string) error {
	d, err := foreign.OpenDirectoryFollowing(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SyncFileSystem writes everything of the file system that holds a directory to the disk.
func SyncFileSystem(dir string) error {
	d, err := foreign.OpenDirectoryFollowing(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only referred to
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("cannot sync the file system of %s: %w", dir, err)
	}
	return nil
}
