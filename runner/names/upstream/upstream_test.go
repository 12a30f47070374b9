package upstream

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestParse: servers of the machine only count, too; our own do not.
func TestParse(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")}
	for text, want := range map[string]string{
		"": "[]",
		"# nameserver 192.0.2.9\nsearch lan\nnameserver 192.0.2.1 # the router\nnameserver 2001:db8::1\n":                                           "[192.0.2.1:53 [2001:db8::1]:53]",
		"nameserver 127.0.0.53\noptions edns0\n":                                                                                                    "[127.0.0.53:53]",
		"nameserver 10.96.0.10\nnameserver fd00::a\nnameserver ::ffff:10.96.0.10\nnameserver 192.0.2.1\n":                                           "[192.0.2.1:53]",
		"nameserver fe80::1%eth0\nnameserver name\nnameserver\n\tnameserver\t192.0.2.1":                                                             "[[fe80::1%eth0]:53 192.0.2.1:53]",
		"nameserver 192.0.2.1\nnameserver 192.0.2.1\n" + strings.Repeat("nameserver 192.0.2.2\n", 3) + "nameserver 192.0.2.3\nnameserver 192.0.2.4": "[192.0.2.1:53 192.0.2.2:53 192.0.2.3:53]",
	} {
		if got := fmt.Sprint(Parse(text, own)); got != want {
			t.Errorf("of %q come %s, not %s", text, got, want)
		}
	}
}

// TestList: the servers follow the file, and stay while it cannot be read.
func TestList(t *testing.T) {
	if got := New("", nil).List(); got != nil {
		t.Errorf("without a configuration there are %v", got)
	}
	path := filepath.Join(t.TempDir(), "resolv.conf")
	s := New(path, nil)
	if got := s.List(); len(got) != 0 {
		t.Errorf("without a file there are %v", got)
	}
	becomes := func(want ...string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // a poll with a deadline
			var got []string
			for _, a := range s.List() {
				got = append(got, a.Addr().String())
			}
			if slices.Equal(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the servers are %v, not %v", got, want)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("nameserver 192.0.2.1\n")
	becomes("192.0.2.1")
	write("nameserver 192.0.2.2\nnameserver ::1\n")
	becomes("192.0.2.2", "::1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil { // which nobody ever writes
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * fresh); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // it has to stay so
		if got := s.List(); len(got) != 2 {
			t.Fatalf("with a FIFO in its place there are %v", got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("search lan\n")
	becomes()
}

// TestFirst: the first who asks gets what the file names.
func TestFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := New(path, nil).List(); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

// TestAfterAWhile: the first who asks after a change gets the servers of then, however many ask at the same time; a file that is empty for a
// moment, as while it is written anew, changes nothing.
func TestAfterAWhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("search lan\n")
	s := New(path, nil)
	if got := s.List(); len(got) != 0 {
		t.Fatalf("there are %v", got)
	}
	for i := range 3 {
		write(fmt.Sprintf("nameserver 192.0.2.%d\n", i))
		s.mu.Lock()
		s.looked = time.Now().Add(-fresh) // nobody has asked for a while
		s.mu.Unlock()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if got := s.List(); len(got) != 1 || got[0].Addr() != netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) {
					t.Errorf("after change %d there are %v", i, got)
				}
			})
		}
		all.Wait()
	}
	write("")
	s.mu.Lock()
	s.looked = time.Now().Add(-fresh)
	s.mu.Unlock()
	if got := s.List(); len(got) != 1 {
		t.Errorf("while it is written there are %v", got)
	}
}

// TestHangs: a file system that does not answer holds nobody up for longer than a moment, and only once.
func TestHangs(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "resolv.conf"), nil)
	s.list, s.looked = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}, time.Now().Add(-fresh)
	s.looking, s.began = make(chan struct{}), time.Now() // a look that never ends
	began := time.Now()
	for range 1000 {
		if got := s.List(); len(got) != 1 {
			t.Fatalf("there are %v", got)
		}
	}
	if took := time.Since(began); took < moment || took > time.Second {
		t.Errorf("a thousand who ask wait for %s together", took)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n")
	own := []netip.Addr{netip.MustParseAddr("10.96.0.10")}
	f.Fuzz(func(t *testing.T, text string) {
		list := Parse(text, own)
		if len(list) > mostServers {
			t.Errorf("%d servers", len(list))
		}
		for _, s := range list {
			if !s.IsValid() || s.Addr() == own[0] {
				t.Errorf("the server %v", s)
			}
		}
	})
}
