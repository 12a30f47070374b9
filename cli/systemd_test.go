package cli

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

// A systemd that reads no messages holds nobody up for longer than the limit.
func TestTellWaitsForNobody(t *testing.T) {
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	frozen, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	conn, err := net.DialUnix("unixgram", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{conn: conn}
	defer s.Close()
	told := make(chan time.Duration)
	go func() {
		for { // until the socket is full
			begun := time.Now()
			s.tell("WATCHDOG=1")
			if took := time.Since(begun); took >= tellLimit {
				told <- took
				return
			}
		}
	}()
	select {
	case <-told:
	case <-time.After(20 * tellLimit):
		t.Error("it waits for systemd")
	}
}
