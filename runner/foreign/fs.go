package foreign

import (
	"io/fs"
	"os"
)

// FS is the directory as the library's servers want it: regular files and directories, which are good as long as the Dir is open.
func (d *Dir) FS() fs.FS { return dirFS{d} }

type dirFS struct{ dir *Dir }

func (d dirFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	found, err := d.dir.Find(name)
	if err != nil {
		return nil, err
	}
	defer found.Close() //nolint:errcheck // only looked at
	want := Regular
	if kind, err := KindOf(found); err == nil && kind == Directory {
		want = Directory
	}
	f, err := Reopen(found, want, os.O_RDONLY)
	if err != nil {
		return nil, err // and no *os.File in an interface, which would not be nil
	}
	return f, nil
}
