package e2e

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/internal/stuck"
)

// Who does not read the daemon's log, or has gone, stops neither pods nor the daemon's health nor its end.
func TestLoggerUnread(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded, "--log-level", "debug")
	file := b.output
	defer func() { b.output = file }()
	r, w, full := stuck.Pipe(t)
	defer w.Close()
	b.link(imageArchive, "images/box.tar")
	b.apply("before.yaml", shell("before", forever, ""))
	b.output = w
	b.start()
	b.waitReady("before")
	b.apply("web.yaml", shell("web", forever, "")) // one that starts, and one that goes
	b.waitReady("web")
	b.delete("before.yaml")
	b.waitGone("before")
	b.mustGet("/healthz")
	began := time.Now()
	b.stop(syscall.SIGTERM)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err != nil || n != full {
		t.Errorf("there were %d bytes in the pipe and now there are %d: %v", full, n, err)
	}
	// A reader that comes late is told what it missed; one that goes leaves the daemon alone.
	r, w, full = stuck.Pipe(t)
	defer w.Close()
	b.output = w
	b.start()
	b.waitReady("web")
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(full)); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	if n, err := r.Read(line); err != nil || !strings.Contains(string(line[:n]), "level=") {
		t.Errorf("it reads %q, %v", line[:n], err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	b.apply("after.yaml", shell("after", forever, ""))
	b.waitReady("after")
	b.mustGet("/healthz")
	b.stop(syscall.SIGTERM)
}

// The error that ends the daemon at its start is read, whole and last.
func TestLoggerLastWords(t *testing.T) {
	t.Parallel()
	b := newBox(t, embedded)
	out, err := b.try("run", "--root", b.path("root"), "--state", b.path("state"), "--manifests", b.path("manifests"))
	if err == nil {
		t.Fatal("a second daemon runs on the same root")
	}
	if lines := strings.Split(strings.TrimSpace(out), "\n"); !strings.HasPrefix(lines[len(lines)-1], "error: another solopod runs on") {
		t.Errorf("it says %q", out)
	}
}
