package api

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/solopod/solopod/api/access"
)

// Who opens all the streams that one listener has keeps nobody from those of another.
func TestSessionsOfEachListener(t *testing.T) {
	mux := http.NewServeMux()
	begun, end := make(chan struct{}), make(chan struct{})
	mux.HandleFunc("GET /pods", func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})
	s := &Server{reading: mux, all: mux}
	plain, socket := s.guard(access.Anyone("the plain port", access.Reader)), s.guard(access.Socket)
	var streams sync.WaitGroup
	watch := func(listener http.Handler) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		listener.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/pods?watch=true", nil))
		return w
	}
	for range maxSessions {
		streams.Go(func() { watch(plain) })
		<-begun
	}
	if got := watch(plain); got.Code != http.StatusTooManyRequests {
		t.Errorf("one more is answered with %d", got.Code)
	}
	answer := make(chan int, 1)
	streams.Go(func() { answer <- watch(socket).Code })
	select {
	case <-begun:
	case code := <-answer:
		t.Errorf("one on the socket is answered with %d", code)
	}
	close(end)
	streams.Wait()
}
