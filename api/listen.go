package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/solopod/solopod/api/access"
)

// Limits of what clients can take of a small machine (docs/api.md).
const (
	// maxConnections of one port; more wait until one ends.
	maxConnections = 256
	// maxSessions of one listener, so that nobody who may only read keeps an admin out: exec, attach, port-forward, followed logs and watches.
	maxSessions = 128
	// headerTime is how long a client may take to say what it wants, idleTime how long a connection may do nothing.
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10
	// answerTime is how long a client may take to take an answer, or each part of one that goes on.
	answerTime = time.Minute
)

// Serve answers on the listener until ctx ends, with TLS where a configuration is given.
func (s *Server) Serve(ctx context.Context, l net.Listener, who access.Authenticate, secure *tls.Config) error {
	if l.Addr().Network() != "unix" { // who may open the socket may do worse
		l = netutil.LimitListener(l, maxConnections)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	srv := &http.Server{
		Handler: s.audited(s.guard(who)), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		BaseContext:  func(net.Listener) context.Context { return ctx },
		ConnContext:  access.WithPeer,
		ErrorLog:     slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), // what clients do wrong
		TLSConfig:    secure,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/2 has no upgrades
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		// Those who watch or follow would stay for ever.
		if err := srv.Close(); err != nil {
			slog.Debug("cannot close a listener", "err", err)
		}
	}()
	err := srv.Serve(l)
	if ctx.Err() != nil {
		<-ended
		return nil
	}
	return err
}

var errTooMany = fmt.Errorf("there are %d open streams here already; close some", maxSessions)

// guard lets a request of one listener through to what its user may do.
func (s *Server) guard(who access.Authenticate) http.Handler {
	sessions := make(chan struct{}, maxSessions)
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := timely{raw, http.NewResponseController(raw)}
		if err := w.control.SetWriteDeadline(time.Time{}); err != nil { // of an earlier request on the same connection
			slog.Debug("cannot bound the time of answers", "err", err)
		}
		user, err := who(r)
		attemptOf(r).by(user)
		if err != nil {
			w.Header().Add("WWW-Authenticate", "Bearer")
			w.Header().Add("WWW-Authenticate", `Basic realm="Solopod: any name, and a token as the password"`)
			fail(w, http.StatusUnauthorized, err)
			return
		}
		mux := s.reading
		if user.Role == access.Admin {
			mux = s.all
		}
		_, pattern := mux.Handler(r)
		if _, exists := s.all.Handler(r); pattern == "" && exists != "" {
			fail(w, http.StatusForbidden, fmt.Errorf("%s may only read; this needs the socket, or the role admin on the TLS port", user.Name))
			return
		}
		if mutates(r) && crossSite(r) {
			fail(w, http.StatusForbidden, errors.New("a page of another site asks for this; its user's rights are not its own"))
			return
		}
		if isSession(r) {
			select {
			case sessions <- struct{}{}:
				defer func() { <-sessions }()
			default:
				fail(w, http.StatusTooManyRequests, errTooMany)
				return
			}
		}
		attemptOf(r).begin(r)
		mux.ServeHTTP(w, r)
	})
}

// timely gives a client so much time for each part of an answer. What comes before the answer, a drain or a pull, may take longer.
type timely struct {
	http.ResponseWriter
	control *http.ResponseController
}

// part of an answer: what a poor link carries in a minute.
const part = 64 << 10

func (t timely) Write(b []byte) (written int, err error) {
	for {
		if err := t.control.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
			return written, err
		}
		n, err := t.ResponseWriter.Write(b[:min(len(b), part)])
		written += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// Unwrap is for http.ResponseController, Hijack for libraries that take connections over.
func (t timely) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements http.Hijacker.
func (t timely) Hijack() (net.Conn, *bufio.ReadWriter, error) { return t.control.Hijack() }

// crossSite says whether a browser sends the request for a page of another site: it would add its user's certificate or password,
// also to a WebSocket, for which no browser asks whether it may.
func crossSite(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false // no browser
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

// mutates says whether a request changes something, or enters a container.
func mutates(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead || enters(r)
}

// isSession says whether a request may last.
func isSession(r *http.Request) bool {
	q := r.URL.Query()
	return enters(r) || q.Get("watch") == "true" || q.Get("follow") == "true"
}

func enters(r *http.Request) bool {
	for _, prefix := range []string{"/exec/", "/attach/", "/portForward/", "/run/", "/files/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return true
		}
	}
	return false
}
