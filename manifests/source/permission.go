package source

import (
	"fmt"
	"os"
	"syscall"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
)

// place is where a file is that is read: what is said of who can write it, and read its Secrets, depends on that.
type place int

const (
	// asDaemon: in the daemon's directory, or one that is judged like it.
	asDaemon place = iota
	// elsewhere: the file is still to be copied, and its mode goes with it.
	elsewhere
	// inCheckout: all is only a warning.
	inCheckout
	// anywhere: there is nothing to say.
	anywhere
)

// decodeFile decodes what a file holds, if none but those who may can write it, and read its Secrets. name is the file's in problems.
func decodeFile(name, path string, info os.FileInfo, data []byte, opts decode.Options, where place) document {
	var writable error
	if where == asDaemon || where == inCheckout {
		writable = checkWritable(path, info)
	}
	if writable != nil && where == asDaemon {
		return document{problems: manifests.Problems{{File: name, Message: writable.Error()}}}
	}
	contents, problems := decode.Decode(name, data, opts)
	if writable != nil {
		problems = append(problems, manifests.Problem{File: name, Message: writable.Error(), Warning: true})
	}
	if len(contents.Secrets) > 0 && where != anywhere {
		if err := checkReadable(path, info); err != nil {
			problems = append(problems, manifests.Problem{File: name, Message: err.Error(), Warning: where == inCheckout})
		}
	}
	return document{contents: contents, problems: problems}
}

// checkWritable refuses what others than root, or than the user who runs Solopod, can write to: who can write a manifest is root on
// this machine.
func checkWritable(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot tell who owns %s", path)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		return fmt.Errorf("%s can be written by everyone (mode %04o), who could so run anything as root: chmod o-w %s", path, mode, path)
	case mode&0o020 != 0 && st.Gid != 0:
		return fmt.Errorf("%s can be written by group %d (mode %04o), who could so run anything as root: chmod g-w %s", path, st.Gid, mode, path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, who could so run anything as root: chown root %s", path, st.Uid, path)
	}
	return nil
}

// checkReadable refuses a file with Secrets that others than root, or than the user who runs Solopod, can read.
func checkReadable(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("cannot tell who owns %s", path)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o004 != 0:
		return fmt.Errorf("%s holds a Secret and can be read by everyone (mode %04o): chmod 0600 %s", path, mode, path)
	case mode&0o040 != 0 && st.Gid != 0:
		return fmt.Errorf("%s holds a Secret and can be read by group %d (mode %04o): chmod 0600 %s", path, st.Gid, mode, path)
	}
	return nil
}
