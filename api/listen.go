package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/attempt"
	"github.com/solopod/solopod/api/budget"
	"github.com/solopod/solopod/api/hosts"
)

// Limits of what clients can take of a small machine (docs/api.md). One client, a user or an address, can take no more than a quarter.
var (
	// ofPort are the connections of a plain port, ofStrangers and ofKnown those of a TLS port before and after authentication.
	ofPort      = budget.Limits{Total: 256, Each: 64}
	ofStrangers = budget.Limits{Total: 128, Each: 64}
	ofKnown     = budget.Limits{Total: 128, Each: 64}
	// ofSocket are those of a socket's users but root, who has no limit.
	ofSocket = budget.Limits{Total: 256, Each: 64}
	// sessions of one listener, so that nobody who may only read keeps an admin out: exec, attach, port-forward, followed logs and watches.
	// Admins have as many beside them, and root on the socket has its own.
	sessions     = budget.Limits{Total: 128, Each: 32}
	rootSessions = budget.Limits{Total: 128, Each: 128}
)

const (
	// headerTime is how long a client may take to say what it wants, and how long a stranger's connection may do nothing; idleTime is that
	// for others.
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10
	// maxBody is of a request that needs none; archives are streams with limits of their own.
	maxBody = 64 << 10
	// answerTime is how long a client may take to take an answer, or each part of one that goes on.
	answerTime = time.Minute
)

// Door is how a listener lets clients in.
type Door struct {
	Who access.Authenticate
	// Secure is how the TLS port shows itself; nil means no TLS.
	Secure *access.Identity
	// Host is how this machine may be called.
	Host *hosts.Machine
	// More tells who may see health and metrics alone how to see the rest.
	More string
}

// Serve answers on the listener until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener, d Door) error {
	c := budget.Config{Client: budget.ByAddress(), Strangers: ofPort, Patience: headerTime}
	idle := headerTime
	var secure *tls.Config
	switch {
	case l.Addr().Network() == "unix": // who may open the socket may do worse, but not to root
		c.Client, c.Strangers, c.Patience, idle = budget.BySocket, ofSocket, idleTime, idleTime
	case d.Secure != nil:
		c.Strangers, c.Known, idle = ofStrangers, ofKnown, idleTime
		secure = d.Secure.Config()
		s.secure.Store(d.Secure)
	}
	l = budget.New(l, c)
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	srv := &http.Server{
		Handler: attempt.Audited(s.trail, s.guard(d)), ReadHeaderTimeout: headerTime, IdleTimeout: idle, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return access.WithPeer(budget.WithConn(ctx, c), c)
		},
		ConnState:                    budget.Track,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), // what clients do wrong
		TLSConfig:                    secure,
		TLSNextProto:                 map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/2 has no upgrades
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

// guard lets a request of one listener through to what its user may do.
func (s *Server) guard(d Door) http.Handler {
	streams := newStreamBudget()
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := timely{raw, http.NewResponseController(raw)}
		if err := w.control.SetWriteDeadline(time.Time{}); err != nil { // of an earlier request on the same connection
			slog.Debug("cannot bound the time of answers", "err", err)
		}
		setHeaders(w.Header())
		if err := d.called(r); err != nil {
			answer.Fail(w, http.StatusForbidden, err)
			return
		}
		if code, err := takeBody(w, r); err != nil {
			answer.Fail(w, code, err)
			return
		}
		user, err := d.Who(r)
		attempt.Of(r).By(user)
		if err != nil {
			w.Header().Add("WWW-Authenticate", "Bearer")
			w.Header().Add("WWW-Authenticate", `Basic realm="Solopod: any name, and a token as the password"`)
			answer.Fail(w, http.StatusUnauthorized, err)
			return
		}
		client := clientOf(r, d, user)
		if conn := budget.From(r.Context()); d.Secure != nil && conn != nil && !conn.Authenticated(client.Name) {
			w.Header().Set("Connection", "close")
			answer.Fail(w, http.StatusTooManyRequests, fmt.Errorf("%s has %d connections that are at work; close some", user.Name, ofKnown.Each))
			return
		}
		mux := s.muxOf(user.Role)
		_, pattern := mux.Handler(r)
		if pattern == "" {
			if err := s.mayNot(r, d, user); err != nil {
				answer.Fail(w, http.StatusForbidden, err)
				return
			}
		}
		if pattern != "" && attempt.Changes(r) && crossSite(r) {
			answer.Fail(w, http.StatusForbidden, errors.New("a page of another site asks for this; its user's rights are not its own"))
			return
		}
		if isSession(r) {
			give, err := streams.take(client, user.Role)
			if err != nil {
				answer.Fail(w, http.StatusTooManyRequests, err)
				return
			}
			defer give()
		}
		attempt.Of(r).Begin(r)
		mux.ServeHTTP(w, r)
	})
}

// muxOf has the paths of a role.
func (s *Server) muxOf(role access.Role) *http.ServeMux {
	switch role {
	case access.Admin:
		return s.all
	case access.Reader:
		return s.reading
	default:
		return s.measuring
	}
}

// mayNot says why a user may not do what others may; nil when nobody can.
func (s *Server) mayNot(r *http.Request, d Door, user access.User) error {
	_, admins := s.all.Handler(r)
	_, readers := s.reading.Handler(r)
	switch {
	case admins == "":
		return nil
	case user.Role == access.Scraper && d.More != "":
		return fmt.Errorf("%s shows health and metrics alone; %s", user.Name, d.More)
	case readers == "":
		return fmt.Errorf("%s may only read; this needs the socket, or the role admin on the TLS port", user.Name)
	default:
		return fmt.Errorf("%s may only read health and metrics; this needs the role read-only", user.Name)
	}
}

// clientOf is whose share a request counts in: on the TLS port its user's, else that of who has the other end of the connection.
func clientOf(r *http.Request, d Door, user access.User) budget.Client {
	if d.Secure != nil {
		return budget.Client{Name: "user " + user.Name}
	}
	if conn := budget.From(r.Context()); conn != nil {
		return conn.Client()
	}
	return budget.Client{}
}

// called says whether the request calls this machine by a name of its own.
func (d Door) called(r *http.Request) error {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && local.Network() == "unix" {
		return d.Host.Local(r)
	}
	var certificate *x509.Certificate
	if d.Secure != nil {
		certificate = d.Secure.Certificate()
	}
	return d.Host.Port(r, local, certificate)
}

// streamBudget divides the streams of a listener.
type streamBudget struct{ readers, admins, root *budget.Shares }

func newStreamBudget() streamBudget {
	return streamBudget{budget.NewShares(sessions), budget.NewShares(sessions), budget.NewShares(rootSessions)}
}

func (s streamBudget) take(c budget.Client, role access.Role) (give func(), err error) {
	shares, limits := s.readers, sessions
	switch {
	case c.Trusted:
		shares, limits = s.root, rootSessions
	case role == access.Admin:
		shares = s.admins
	}
	give, verdict := shares.Take(c.Name)
	switch verdict {
	case budget.ClientFull:
		return nil, fmt.Errorf("%s has %d open streams here already; close some", c.Name, limits.Each)
	case budget.AllFull:
		return nil, fmt.Errorf("there are %d open streams here already; close some", limits.Total)
	}
	return give, nil
}

// setHeaders sets what every answer has: what containers print and call themselves is in many, and nothing in them may become a program,
// be shown in another site's frame, or stay in a cache.
func setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// takeBody takes what a request brings that needs nothing: a client cannot keep its connection at work by a body that does not come. Of an
// archive the first part must come soon; who reads it gives time for more.
func takeBody(w timely, r *http.Request) (code int, err error) {
	if r.ContentLength == 0 {
		return 0, nil
	}
	deadline := func(t time.Time) {
		if err := w.control.SetReadDeadline(t); err != nil {
			slog.Debug("cannot bound the time of requests", "err", err)
		}
	}
	deadline(time.Now().Add(headerTime))
	if isUpload(r) {
		return 0, nil
	}
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w.ResponseWriter, r.Body, maxBody)); err != nil {
		w.Header().Set("Connection", "close")
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return http.StatusRequestEntityTooLarge, fmt.Errorf("a body of more than %d bytes is not taken here", maxBody)
		}
		return http.StatusBadRequest, errors.New("the request's body did not come in time, or is broken")
	}
	deadline(time.Time{})
	r.Body = http.NoBody
	return 0, nil
}

// isUpload says whether a request brings an archive.
func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPost && (r.URL.Path == "/images" || r.URL.Path == "/bundles") || r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/files/")
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

// isSession says whether a request may last.
func isSession(r *http.Request) bool {
	q := r.URL.Query()
	return attempt.Enters(r) || q.Get("watch") == "true" || q.Get("follow") == "true"
}
