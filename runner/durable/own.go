package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/solopod/solopod/runner/foreign"
)

// ErrDamaged says that something is there which cannot be what was written: no regular file, or too large. The caller may set it
// aside. Content that does not decode is for the caller to judge.
var ErrDamaged = errors.New("damaged")

// ReadFile reads a file of Solopod's own, of at most limit bytes. It never waits, whatever is there: what is no regular file, or
// too large, is ErrDamaged; what is not there is fs.ErrNotExist.
func ReadFile(path string, limit int64) ([]byte, error) {
	data, err := foreign.ReadFile(path, limit)
	return data, damaged(err)
}

// ReadJSON reads a record of Solopod's own, a file of JSON of at most limit bytes. good says what is wrong with one that decodes; it may be nil.
// One that is missing is a T without values. So is one that is damaged, as by a power cut: it is set aside, and told is a sentence for logs and
// events then, and else empty.
func ReadJSON[T any](path string, limit int64, good func(T) error) (value T, told string) {
	var none T
	data, err := ReadFile(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return none, ""
	}
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err == nil && string(bytes.TrimSpace(data)) == "null" {
		err = errors.New("it is empty")
	}
	if err == nil && good != nil {
		err = good(value)
	}
	if err == nil {
		return value, ""
	}
	told, aside := SetAside(path, err)
	if aside != nil {
		told = fmt.Sprintf("%s is damaged (%v), and cannot be set aside: %v", path, err, aside)
	}
	return none, told
}

// OpenFile opens a file of Solopod's own with flags, as os.OpenFile, and makes it where they have os.O_CREATE. It never waits; what is no
// regular file is ErrDamaged. The caller closes it.
func OpenFile(path string, flags int, mode os.FileMode) (*os.File, error) {
	f, err := foreign.OpenFile(path, flags, mode)
	return f, damaged(err)
}

func damaged(err error) error {
	if errors.Is(err, foreign.ErrNotRegular) || errors.Is(err, foreign.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// AsideSuffix ends the names of what was set aside.
const AsideSuffix = ".damaged"

// SetAside renames whatever is at path, a file or a directory, to <path>.damaged, so that it can be looked into and a new file be written.
// What was set aside before is removed: flash is small. It returns a sentence for logs and events that says what was done, and the
// reason; the sentence is empty when nothing is there.
func SetAside(path string, reason error) (string, error) {
	found, err := foreign.Find(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot set %s aside: %w", path, err)
	}
	kind, err := foreign.KindOf(found)
	aside := path + AsideSuffix
	if err = errors.Join(err, found.Close()); err == nil {
		err = foreign.RemoveAll(aside)
	}
	if err == nil {
		err = os.Rename(path, aside)
	}
	if err != nil {
		return "", fmt.Errorf("cannot set %s aside: %w", path, err)
	}
	told := fmt.Sprintf("%s, a %s, is set aside as %s: %v", path, kind, filepath.Base(aside), reason)
	return told, SyncDir(filepath.Dir(path))
}

// Sync makes a file durable that Replace has written: it waits for the disk. Another Replace may come meanwhile.
func Sync(path string) error {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot make %s durable: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}
