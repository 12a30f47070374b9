package server

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A query that nobody answers does not hold its connection for ever.
func TestPipelineHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline()
		if !p.enter(maxPipelined) {
			t.Fatal("a connection has no room at first")
		}
		begun := time.Now()
		if p.enter(1) || time.Since(begun) != answerLimit {
			t.Errorf("more queries than have room, after %s", time.Since(begun))
		}
		client, conn := net.Pipe()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			p.write(conn, stop)
		}()
		p.answers <- nil // the query is answered with nothing
		if !p.enter(1) {
			t.Error("an answer makes no room")
		}
		client.Close()
		p.answers <- []byte("answer") // nobody takes it
		if !p.enter(1) {
			t.Error("an answer that nobody takes makes no room")
		}
		close(stop)
		<-stopped
	})
}
