package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// findPart finds the part of a volume at sub. Directories that are missing are made if they may be, with the volume's own mode, whatever
// the umask.
func findPart(volume *os.File, sub string, create bool) (*os.File, error) {
	info, err := volume.Stat()
	if err != nil {
		return nil, err
	}
	dir, err := foreign.In(volume, foreign.Beneath)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // only looked at
	sub = filepath.Clean(sub)
	found, err := dir.Find(sub)
	if errors.Is(err, os.ErrNotExist) && create {
		if err = dir.MkdirAll(sub, info.Mode()); err == nil {
			found, err = dir.Find(sub)
		}
	}
	switch {
	case errors.Is(err, foreign.ErrLeadsOut):
		return nil, errors.New("it leads out of the volume")
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, foreign.ErrNotDirectory):
		return nil, fmt.Errorf("part of %q is not a directory", sub)
	}
	return found, err
}
