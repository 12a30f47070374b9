package intake

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Full is the error of an import, without the name of the file for which there was no room: it is another one with each try, and each would
// be an event of its own. containerd hands such errors on as texts only.
func Full(err error) error {
	if err == nil {
		return nil
	}
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		if !errors.Is(err, full) && strings.Contains(err.Error(), full.Error()) {
			return fmt.Errorf("%w: the disk of the images is full; remove images or files", full)
		}
	}
	return err
}
