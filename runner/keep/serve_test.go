package keep

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/keep/wire"
)

// serverName is what the test's own binary is called as to be a program that serves.
const serverName = "test-server"

// serverMain is a program as the keeper runs it: it answers packets with its process id, and behaves as the file named mode says.
func serverMain(dir string) {
	mode, _ := os.ReadFile(filepath.Join(dir, "mode"))
	keeper, err := net.FileConn(os.NewFile(wire.ProgramControl, "keeper"))
	if err != nil {
		panic(err)
	}
	switch string(mode) {
	case "fail":
		keeper.Write(append([]byte{wire.Failed}, "it has no wish to serve"...)) //nolint:errcheck // the test sees what it says
		os.Exit(1)
	case "silent":
		os.WriteFile(filepath.Join(dir, "silent"), nil, 0o600) //nolint:errcheck // the test waits for it
		select {}
	}
	socket, err := net.FilePacketConn(os.NewFile(wire.ProgramFiles, "socket"))
	if err != nil {
		panic(err)
	}
	go func() {
		b := []byte{wire.Ping}
		for {
			if _, err := keeper.Write(b); err != nil {
				return
			}
			if n, err := keeper.Read(b); n == 0 || err != nil {
				return
			}
		}
	}()
	echo(socket, strconv.Itoa(os.Getpid()))
}

// echo answers each packet with a text until the socket is closed.
func echo(socket net.PacketConn, text string) {
	b := make([]byte, 100)
	for {
		_, from, err := socket.ReadFrom(b)
		if err != nil {
			return
		}
		if _, err := socket.WriteTo([]byte(text), from); err != nil {
			return
		}
	}
}

// server links the test's binary to the name by which it serves.
func server(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, serverName)
	if err := os.Symlink(self, path); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() { // one whose keeper was killed goes on
		for _, pid := range testbox.Running(t, path, dir) {
			unix.Kill(pid, unix.SIGKILL) //nolint:errcheck // it may have ended
		}
	})
	return path
}

// socket is one that is served: the file, and its address.
func socket(t *testing.T) (*os.File, string) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := conn.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(f.Fd()), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, conn.LocalAddr().String()
}

// query sends a packet and waits for the answer; it fails when there is none.
func query(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("who")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatalf("nobody answers: %v", err)
	}
	return string(b[:n])
}

// refused waits until nobody has the socket.
func refused(t *testing.T, addr string) {
	t.Helper()
	eventually(t, "the socket is closed", func() bool {
		conn, err := net.ListenPacket("udp4", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// told waits until the keeper was told everything.
func told(t *testing.T, k *Keeper) {
	t.Helper()
	eventually(t, "the keeper is told", func() bool { return pending(k) == 0 })
}

func serve(t *testing.T, k *Keeper, program, dir string, f *os.File) {
	t.Helper()
	if err := k.Serve("names", Service{Program: program, Argument: dir, Files: []*os.File{f}}); err != nil {
		t.Fatal(err)
	}
}

// take gets what an earlier one has left.
func take(t *testing.T, k *Keeper) (*os.File, string) {
	t.Helper()
	files, failure, err := k.Take(t.Context(), "names")
	if err != nil || len(files) != 1 {
		t.Fatalf("it has %d files: %v", len(files), err)
	}
	t.Cleanup(func() { files[0].Close() })
	return files[0], failure
}

// conn reads from a socket that others have, too.
func conn(t *testing.T, f *os.File) net.PacketConn {
	t.Helper()
	c, err := net.FilePacketConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// former is what a Solopod has left that has gone.
type former struct{ dir, program, addr string }

// left has a program, which does as its mode says, serve after a Solopod has gone.
func left(t *testing.T, mode string) former {
	t.Helper()
	dir := workdir(t)
	serves := server(t, dir)
	if mode != "" {
		if err := os.WriteFile(filepath.Join(dir, "mode"), []byte(mode), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, addr := socket(t)
	first := New(dir, program)
	serve(t, first, serves, dir, f)
	told(t, first)
	f.Close()
	first.Close()
	return former{dir, serves, addr}
}

// TestProgramServes: what comes in while Solopod is away waits and is answered by the program, killed or not; the next Solopod gets the
// socket, and the program ends.
func TestProgramServes(t *testing.T) {
	dir := workdir(t)
	serves := server(t, dir)
	f, addr := socket(t)
	first := New(dir, program)
	serve(t, first, serves, dir, f)
	told(t, first)
	own := conn(t, f)
	go echo(own, "first")
	if got := query(t, addr); got != "first" {
		t.Errorf("%s answers while Solopod serves", got)
	}
	own.Close()
	f.Close()
	first.Close()
	by := query(t, addr)
	if pids := testbox.Running(t, serves, dir); len(pids) != 1 || strconv.Itoa(pids[0]) != by {
		t.Fatalf("%s answers; the program runs as %v", by, pids)
	}
	if err := unix.Kill(testbox.Running(t, serves, dir)[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if again := query(t, addr); again == by {
		t.Errorf("%s answers, which was killed", again)
	}

	second := New(dir, program)
	second.Hold("pipe", []File{{os.DevNull, os.O_RDONLY}})
	second.Only() // which must not end what is served
	told(t, second)
	next, failure := take(t, second)
	if failure != "it ended by itself, or was killed: signal 9" {
		t.Errorf("the failure is %q", failure)
	}
	if _, failure := take(t, second); failure != "" {
		t.Errorf("it is told again: %s", failure)
	}
	if len(testbox.Running(t, serves, dir)) != 1 {
		t.Error("the program has ended before anybody serves in its place")
	}
	go echo(conn(t, next), "second")
	serve(t, second, serves, dir, next)
	eventually(t, "the program ends", func() bool { return len(testbox.Running(t, serves, dir)) == 0 })
	if got := query(t, addr); got != "second" {
		t.Errorf("%s answers", got)
	}
	second.Leave("names")
	eventually(t, "the program serves again", func() bool { return len(testbox.Running(t, serves, dir)) == 1 })
	second.Drop("pipe")
	second.End("names")
	eventually(t, "the program ends", func() bool { return len(testbox.Running(t, serves, dir)) == 0 })
	if files, _, err := second.Take(t.Context(), "names"); len(files) != 0 || err != nil {
		t.Errorf("it has %d files: %v", len(files), err)
	}
	second.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

// TestNotServedAnyMore: what was served and is not any more ends, though the next Solopod never served it; and with one of an earlier version.
func TestNotServedAnyMore(t *testing.T) {
	for name, ends := range map[string]func(*testing.T, *Keeper, string){
		"ended": func(_ *testing.T, k *Keeper, _ string) { k.End("names") },
		"downgrade": func(t *testing.T, _ *Keeper, dir string) {
			c, err := net.Dial("unixpacket", filepath.Join(dir, wire.Socket))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Write([]byte{wire.Only}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			was := left(t, "")
			query(t, was.addr)
			second := New(was.dir, program)
			ends(t, second, was.dir)
			refused(t, was.addr)
			eventually(t, "the program ends", func() bool { return len(testbox.Running(t, was.program, was.dir)) == 0 })
			second.Close()
		})
	}
}

// TestProgramFails: a program that fails, or is missing, is tried again and again, and what comes in waits.
func TestProgramFails(t *testing.T) {
	was := left(t, "fail")
	dir, serves, addr := was.dir, was.program, was.addr
	second := New(dir, program)
	defer second.Close()
	failed := func(with string) {
		t.Helper()
		eventually(t, "it fails with "+with, func() bool {
			_, failure := take(t, second)
			return strings.Contains(failure, with)
		})
	}
	failed("no wish to serve")
	if err := os.Rename(serves, serves+".away"); err != nil {
		t.Fatal(err)
	}
	failed("no such file")
	answered := make(chan string)
	go func() { answered <- query(t, addr) }()
	if err := errors.Join(os.Remove(filepath.Join(dir, "mode")), os.Rename(serves+".away", serves)); err != nil {
		t.Fatal(err)
	}
	<-answered
	second.End("names")
	eventually(t, "the program ends", func() bool { return len(testbox.Running(t, serves, dir)) == 0 })
}

// TestProgramHangs: a program that says nothing, or is stopped, is killed and started again.
func TestProgramHangs(t *testing.T) {
	was := left(t, "silent")
	dir, serves, addr := was.dir, was.program, was.addr
	eventually(t, "it runs", func() bool {
		_, err := os.Stat(filepath.Join(dir, "silent"))
		return err == nil
	})
	silent := testbox.Running(t, serves, dir)[0]
	if err := os.Remove(filepath.Join(dir, "mode")); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { //nolint:forbidigo // a poll with a deadline
		if pids := testbox.Running(t, serves, dir); len(pids) == 1 && pids[0] != silent {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("one that says nothing goes on")
		}
	}
	query(t, addr)
	second := New(dir, program)
	defer second.Close()
	if _, failure := take(t, second); !strings.Contains(failure, "did not answer") {
		t.Errorf("it failed as %q", failure)
	}
	stopped := testbox.Running(t, serves, dir)[0]
	if err := unix.Kill(stopped, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second.End("names") // who is stopped cannot end by itself
	eventually(t, "the program is killed", func() bool { return len(testbox.Running(t, serves, dir)) == 0 })
}

// TestFormerKeeper: a keeper of an earlier version keeps what only it has until everything of that was taken up. Then another takes its place,
// which serves, too.
func TestFormerKeeper(t *testing.T) {
	dir := workdir(t)
	former := filepath.Join(dir, "former")
	if out, err := exec.Command("go", "build", "-o", former, "./testdata/former").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	serves := server(t, dir)
	first := New(dir, former)
	pipe, unwanted := filepath.Join(dir, "pipe"), filepath.Join(dir, "unwanted")
	fill(t, first, pipe, "last words")
	fill(t, first, unwanted, "nobody wants this")
	first.Close()
	old := testbox.Running(t, former, dir)
	if len(old) != 1 {
		t.Fatalf("it runs as %v", old)
	}
	t.Cleanup(func() { unix.Kill(old[0], unix.SIGKILL) }) //nolint:errcheck // it has ended, if all went well
	second := New(dir, program)
	if files, _, err := second.Take(t.Context(), "names"); len(files) != 0 || !errors.Is(err, ErrSilent) {
		t.Errorf("it has %d files: %v", len(files), err)
	}
	f, addr := socket(t)
	serve(t, second, serves, dir, f)
	if len(keepers(t, dir)) != 0 || content(t, pipe) != "last words" {
		t.Error("it is replaced before what it has was taken up")
	}
	w, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	second.Hold(pipe, []File{{pipe, unix.O_RDONLY}})
	second.Only()
	eventually(t, "another takes its place", func() bool {
		now := keepers(t, dir)
		return len(now) == 1 && holds(now[0], pipe) && len(testbox.Running(t, former, dir)) == 0
	})
	w.Close()
	eventually(t, "what nobody wants goes", func() bool { return content(t, unwanted) == "" })
	told(t, second)
	f.Close()
	second.Close()
	query(t, addr)
	third := New(dir, program)
	if got := content(t, pipe); got != "more" {
		t.Errorf("the pipe holds %q", got)
	}
	take(t, third)
	third.End("names")
	third.Only()
	third.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 && len(testbox.Running(t, serves, dir)) == 0 })
}

// TestKilledKeeperServes: a keeper that is killed is replaced, and its successor can have the program serve; a program whose keeper is killed
// goes on.
func TestKilledKeeperServes(t *testing.T) {
	dir := workdir(t)
	serves := server(t, dir)
	f, addr := socket(t)
	k := New(dir, program)
	serve(t, k, serves, dir, f)
	told(t, k)
	old := keepers(t, dir)
	if len(old) != 1 || unix.Kill(old[0], unix.SIGKILL) != nil {
		t.Fatalf("the keeper runs as %v", old)
	}
	eventually(t, "another runs, and has the socket", func() bool {
		now := keepers(t, dir)
		if len(now) != 1 || now[0] == old[0] {
			return false
		}
		files, _, err := k.Take(t.Context(), "names")
		closeFiles(files)
		return err == nil && len(files) == 1
	})
	f.Close()
	k.Close()
	by := query(t, addr)
	now := keepers(t, dir)
	if len(now) != 1 || unix.Kill(now[0], unix.SIGKILL) != nil {
		t.Fatalf("the keeper runs as %v", now)
	}
	eventually(t, "the keeper is gone", func() bool { return len(keepers(t, dir)) == 0 })
	if got := query(t, addr); got != by {
		t.Errorf("%s answers, not %s", got, by)
	}
}

// TestClearedState: when the socket was removed and another keeper has taken its place, a program that the former has started ends.
func TestClearedState(t *testing.T) {
	was := left(t, "")
	dir, serves, addr := was.dir, was.program, was.addr
	query(t, addr)
	former := keepers(t, dir)
	if err := os.Remove(filepath.Join(dir, wire.Socket)); err != nil {
		t.Fatal(err)
	}
	second := New(dir, program)
	defer second.Close()
	second.Hold("pipe", []File{{os.DevNull, os.O_RDONLY}})
	told(t, second)
	eventually(t, "the former keeper and its program end", func() bool {
		return len(testbox.Running(t, serves, dir)) == 0 && !slices.Contains(keepers(t, dir), former[0])
	})
}

// TestTakeWaitsForNobody: a keeper that is stopped holds nobody up.
func TestTakeWaitsForNobody(t *testing.T) {
	dir := workdir(t)
	k := New(dir, program)
	f, _ := socket(t)
	serve(t, k, "", dir, f)
	told(t, k)
	pid := keepers(t, dir)[0]
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if files, _, err := k.Take(ctx, "names"); len(files) != 0 || !errors.Is(err, ErrSilent) || ctx.Err() != nil {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	k.End("names")
	k.Close()
	eventually(t, "the keeper ends", func() bool { return len(keepers(t, dir)) == 0 })
}

// TestWithoutProgram: without a program what comes in waits for the next Solopod.
func TestWithoutProgram(t *testing.T) {
	dir := workdir(t)
	f, addr := socket(t)
	first := New(dir, program)
	serve(t, first, "", dir, f)
	f.Close()
	first.Close()
	answered := make(chan string)
	go func() { answered <- query(t, addr) }()
	second := New(dir, program)
	next, failure := take(t, second)
	if failure != "" {
		t.Errorf("it failed: %s", failure)
	}
	go echo(conn(t, next), "second")
	if got := <-answered; got != "second" {
		t.Errorf("%s answers", got)
	}
	second.End("names")
	second.Close()
}
