package foreign

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Kind is what a name leads to: the file type bits of inode(7).
type Kind uint32

// The kinds of files that Linux has.
const (
	Regular     Kind = unix.S_IFREG
	Directory   Kind = unix.S_IFDIR
	Link        Kind = unix.S_IFLNK
	FIFO        Kind = unix.S_IFIFO
	Socket      Kind = unix.S_IFSOCK
	CharDevice  Kind = unix.S_IFCHR
	BlockDevice Kind = unix.S_IFBLK
)

var kindNames = map[Kind]string{
	Regular: "regular file", Directory: "directory", Link: "symbolic link", FIFO: "FIFO", Socket: "socket",
	CharDevice: "character device", BlockDevice: "block device",
}

// String is the kind in words, without an article.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("file of the unknown type %o", uint32(k))
}

// Errors of this package, for errors.Is. Others are those of the system: fs.ErrNotExist, fs.ErrPermission ...
var (
	// ErrNotRegular says that something is there, and no regular file; the error is a *KindError.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotDirectory says that something is there, and no directory; the error is a *KindError.
	ErrNotDirectory = errors.New("not a directory")
	// ErrTooLarge says that a file has more bytes than the caller takes.
	ErrTooLarge = errors.New("too large")
	// ErrLeadsOut says that a name or a link leads out of the directory that it is looked up in.
	ErrLeadsOut = errors.New("it leads out of the directory")
	// ErrLink says that a link on the way is not followed: none may be, it leads in a circle, or it is one of the kernel's own that
	// lead anywhere (proc_pid_fd(5)).
	ErrLink = errors.New("a link on the way is not followed")
	// ErrMounted says that something is mounted where a tree is to be removed.
	ErrMounted = errors.New("something is mounted there")
	// ErrTooDeep says that directories are nested deeper than anybody needs.
	ErrTooDeep = errors.New("directories are nested too deep")
)

// KindError says that something else is there than was asked for. It is ErrNotRegular or ErrNotDirectory where that was asked for.
type KindError struct {
	Path      string
	Got, Want Kind
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s is a %s, not a %s", e.Path, e.Got, e.Want)
}

// Is finds the kind of the error.
func (e *KindError) Is(target error) bool {
	return target == ErrNotRegular && e.Want == Regular || target == ErrNotDirectory && e.Want == Directory
}

// KindOf asks an open file, or one that was only found, what it is.
func KindOf(f *os.File) (Kind, error) {
	st, err := Stat(f)
	return Kind(st.Mode & unix.S_IFMT), err
}

// Stat is what the system says of an open file, or of one that was only found (inode(7)).
func Stat(f *os.File) (st unix.Stat_t, err error) {
	err = control(f, func(fd int) error { return unix.Fstat(fd, &st) })
	return st, wrap("stat", f.Name(), err)
}

// control calls use with the descriptor, which stays open meanwhile.
func control(f *os.File, use func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = use(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// wrap tells the operation and the path of an error of the system, in words where the system's mislead.
func wrap(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EXDEV):
		err = ErrLeadsOut
	case errors.Is(err, unix.ELOOP):
		err = ErrLink
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
