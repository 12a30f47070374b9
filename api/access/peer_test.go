package access

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// connectTo has this test's program connect to a socket and end.
const connectTo = "SOLOPOD_TEST_CONNECT_TO"

// Who has connected is found by the kernel's word, with its name; of one that has ended there is only its number.
func TestPeer(t *testing.T) {
	if to := os.Getenv(connectTo); to != "" {
		if _, err := net.Dial("unix", to); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	accept := func() Peer {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p, ok := PeerOf(WithPeer(context.Background(), conn))
		if !ok {
			t.Fatal("nobody")
		}
		return p
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	if p := accept(); int(p.UID) != os.Geteuid() || int(p.PID) != os.Getpid() || p.Process != strings.TrimSpace(string(comm)) {
		t.Errorf("this process is %+v", p)
	}
	// Another process, which has connected and ended before it is accepted.
	gone := exec.Command(os.Args[0], "-test.run", "^TestPeer$")
	gone.Env = append(os.Environ(), connectTo+"="+path)
	if out, err := gone.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if p := accept(); int(p.PID) != gone.Process.Pid || p.Process != "" || int(p.UID) != os.Geteuid() {
		t.Errorf("one that has ended: %+v", p)
	}
	if _, ok := PeerOf(WithPeer(context.Background(), &net.TCPConn{})); ok {
		t.Error("TCP has a peer")
	}
}
