package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/keep/wire"
)

// Service is what Solopod serves, and a program in its place while Solopod is away.
type Service struct {
	// Program is run with Argument. What it finds where is said in package wire.
	Program, Argument string
	// Files are what it gets; the caller keeps its own.
	Files []*os.File

	left bool
	fds  []int // copies of Files
}

// Serve says that Solopod serves this, in place of what was served under the key before: a program that does ends. It is started when
// this process ends, however that happens. As with Hold nobody waits for the keeper.
func (k *Keeper) Serve(key string, s Service) error {
	if strings.Contains(key+s.Program+s.Argument, "\x00") || len(s.Files) > wire.MaxFiles {
		return errors.New("the keeper cannot be told of that: a name has a zero byte, or there are too many files")
	}
	for _, f := range s.Files {
		fd, err := duplicate(int(f.Fd()))
		if err != nil {
			change{fds: s.fds}.close()
			return err
		}
		s.fds = append(s.fds, fd)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unserve(key)
	if k.closed {
		change{fds: s.fds}.close()
		return nil
	}
	k.served[key] = s
	k.put(key, s.change())
	return nil
}

// Leave has the program serve from now on, while this process still lives.
func (k *Keeper) Leave(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.served[key]
	if k.closed || !ok {
		return
	}
	s.left = true
	k.served[key] = s
	if k.pending[key].operation != wire.Serve {
		k.put(key, change{operation: wire.Leave})
		return
	}
	k.put(key, s.change())
}

// End has nobody serve any more, whoever did: also what an earlier Solopod has left ends.
func (k *Keeper) End(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.unserve(key)
	k.told[key] = true // if not by this one
	k.put(key, change{operation: wire.Drop, always: true})
}

// Take returns what the keeper has kept to be served since an earlier Solopod, none if there is no such thing, and why the program that
// served it failed last, if it did. It goes on until Serve. The caller owns the files.
func (k *Keeper) Take(ctx context.Context, key string) (files []*os.File, failure string, err error) {
	d := net.Dialer{Timeout: sendLimit}
	c, err := d.DialContext(ctx, "unixpacket", k.socket)
	if err != nil {
		return nil, "", ctx.Err() // there is no keeper
	}
	defer c.Close() //nolint:errcheck // nothing more is said
	conn := c.(*net.UnixConn)
	limit := time.Now().Add(sendLimit)
	if at, ok := ctx.Deadline(); ok && at.Before(limit) {
		limit = at
	}
	if err := conn.SetDeadline(limit); err != nil {
		return nil, "", err
	}
	text, control := make([]byte, wire.MaxMessage), make([]byte, unix.CmsgSpace(4*wire.MaxFiles))
	n, cn := 0, 0
	if _, err = conn.Write(append([]byte{wire.Take}, key...)); err == nil {
		n, cn, _, _, err = conn.ReadMsgUnix(text, control)
	}
	files = received(control[:max(cn, 0)])
	switch {
	case err == nil && n > 0 && text[0] == wire.Take:
		return files, string(text[1:n]), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the keeper does not answer, as %w: %w", ErrSilent, err)
	default: // it has just ended
		err = ctx.Err()
	}
	closeFiles(files)
	return nil, "", err
}

// ErrSilent says that a keeper is there and does not answer: it is of an earlier version, which kept nothing to be served, or stopped.
var ErrSilent = errors.New("it is of an earlier version, or stopped")

// received are the files of a message.
func received(control []byte) (files []*os.File) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "kept"))
		}
	}
	return files
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close() //nolint:errcheck // only held
	}
}

// change is what the process is told of the service. Where its files cannot be copied it is told nothing.
func (s Service) change() change {
	c := change{operation: wire.Serve, program: "\x00" + s.Program + "\x00" + s.Argument, leave: s.left}
	for _, from := range s.fds {
		fd, err := duplicate(from)
		if err != nil {
			slog.Warn("nobody serves in Solopod's place while it is away", "program", s.Program, "err", err)
			c.close()
			return change{}
		}
		c.fds = append(c.fds, fd)
	}
	return c
}

// unserve forgets a service. k.mu is held.
func (k *Keeper) unserve(key string) {
	change{fds: k.served[key].fds}.close()
	delete(k.served, key)
}

func duplicate(fd int) (int, error) {
	out, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot hand a file to the keeper: %w", err)
	}
	return out, nil
}
