package monitor

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// buffers hold what is read; memory.stat is the longest with some 1.5 KiB.
var buffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

// withFile passes the content of a file of the kernel's to use, which must not keep it. A file that cannot be read is as
// one that does not exist: use is not called. The files never block; os.File would ask the runtime's poller about each of
// them, which took as long as the reading itself.
func withFile(path string, use func(content []byte)) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for n := 0; ; {
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, n)...)
		}
		m, err := unix.Read(fd, (*buf)[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		case m == 0:
			use((*buf)[:n])
			return
		default:
			n += m
		}
	}
}
