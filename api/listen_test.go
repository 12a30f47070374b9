package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/budget"
	"github.com/solopod/solopod/api/hosts"
	"github.com/solopod/solopod/audit"
)

// plainDoor lets everybody in with a role.
func plainDoor(role access.Role) Door {
	return Door{Who: access.Plain(role, ""), Host: &hosts.Machine{Allowed: []string{"example.com"}}, More: "use the socket"} // httptest's name
}

// Who opens all the streams that one client has keeps no other from those of the same listener, nor anybody from those of another.
func TestSessionsOfEachListener(t *testing.T) {
	mux := http.NewServeMux()
	begun, end := make(chan struct{}), make(chan struct{})
	mux.HandleFunc("GET /pods", func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	})
	s := &Server{trail: audit.NewTrail(nil), measuring: mux, reading: mux, all: mux}
	plain, socket := s.guard(plainDoor(access.Reader)), s.guard(Door{Who: access.Socket, Host: &hosts.Machine{Allowed: []string{"example.com"}}})
	var streams sync.WaitGroup
	watch := func(listener http.Handler) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		listener.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/pods?watch=true", nil))
		return w
	}
	for range sessions.Each {
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

// Readers, admins and root on the socket do not take each other's streams, and no reader those of all.
func TestStreamBudget(t *testing.T) {
	s := newStreamBudget()
	take := func(n int, c budget.Client, role access.Role) (taken int) {
		for range n {
			if _, err := s.take(c, role); err == nil {
				taken++
			}
		}
		return taken
	}
	for _, c := range []struct {
		client budget.Client
		role   access.Role
		want   int
	}{
		{budget.Client{Name: "uid 1"}, access.Reader, 32}, {budget.Client{Name: "uid 2"}, access.Reader, 32}, {budget.Client{Name: "uid 3"}, access.Reader, 32},
		{budget.Client{Name: "uid 4"}, access.Reader, 32}, {budget.Client{Name: "uid 5"}, access.Reader, 0},
		{budget.Client{Name: "uid 1"}, access.Admin, 32}, {budget.Client{Name: "uid 0", Trusted: true}, access.Admin, 128},
	} {
		if got := take(200, c.client, c.role); got != c.want {
			t.Errorf("%+v has %d streams as %d, not %d", c.client, got, c.role, c.want)
		}
	}
}

// roles is a server of which each path says who may have it.
func roles() *Server {
	s := &Server{trail: audit.NewTrail(nil), measuring: http.NewServeMux(), reading: http.NewServeMux(), all: http.NewServeMux()}
	answer := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d %v", r.URL.Path, len(body), err)
	}
	for i, mux := range []*http.ServeMux{s.measuring, s.reading, s.all} {
		mux.HandleFunc("GET /metrics", answer)
		if i > 0 {
			mux.HandleFunc("GET /pods", answer)
			mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", answer)
		}
		if i > 1 {
			mux.HandleFunc("GET /exec/{namespace}/{pod}/{container}", answer)
			mux.HandleFunc("POST /restart/{namespace}/{pod}", answer)
			mux.HandleFunc("GET /logs/", answer)
			mux.HandleFunc("POST /images", answer)
		}
	}
	return s
}

// listen serves the roles at a door, and returns how to send bytes to it.
func listen(t *testing.T, network string, d Door) (dial func() net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- roles().Serve(t.Context(), l, d) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial(network, l.Addr().String())
		if err == nil {
			err = c.SetDeadline(time.Now().Add(time.Minute))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// reply is what an answer has beside its body.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// send sends a request as it is, and returns the answer.
func send(t *testing.T, c net.Conn, text string) (reply, string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	return receive(t, bufio.NewReader(c), method)
}

func receive(t *testing.T, r *bufio.Reader, method string) (reply, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Status, resp.Header}, string(body)
}

// What hostile clients send does not lead where they may not go, whoever they are.
func TestOddRequests(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	scraper, reader := listen(t, "tcp", plainDoor(access.Scraper)), listen(t, "tcp", plainDoor(access.Reader))
	admin := listen(t, "unix", Door{Who: access.Socket, Host: &hosts.Machine{}})
	for name, c := range map[string]struct {
		request                string
		scraper, reader, admin int
	}{
		"metrics":                   {"GET /metrics" + host + "\r\n", 200, 200, 200},
		"HTTP/1.0 without a host":   {"GET /metrics HTTP/1.0\r\n\r\n", 200, 200, 200},
		"HTTP/1.1 without a host":   {"GET /metrics HTTP/1.1\r\n\r\n", 400, 400, 400},
		"two hosts":                 {"GET /metrics" + host + "Host: localhost\r\n\r\n", 400, 400, 400},
		"pods":                      {"GET /pods" + host + "\r\n", 403, 200, 200},
		"HEAD":                      {"HEAD /pods" + host + "\r\n", 403, 200, 200},
		"a log":                     {"GET /containerLogs/n/p/c" + host + "\r\n", 403, 200, 200},
		"exec":                      {"GET /exec/n/p/c" + host + "\r\n", 403, 403, 200},
		"a restart":                 {"POST /restart/n/p" + host + "Content-Length: 0\r\n\r\n", 403, 403, 200},
		"another method":            {"PUT /pods" + host + "Content-Length: 0\r\n\r\n", 404, 405, 405},
		"no method of HTTP's":       {"XXXX /pods" + host + "\r\n", 404, 405, 405},
		"two slashes":               {"GET //exec/n/p/c" + host + "\r\n", 403, 403, 307},
		"dots":                      {"GET /metrics/../exec/n/p/c" + host + "\r\n", 403, 403, 307},
		"encoded dots":              {"GET /metrics/%2e%2e/exec/n/p/c" + host + "\r\n", 404, 404, 404},
		"an encoded slash":          {"GET /exec%2fn/p/c" + host + "\r\n", 404, 404, 404},
		"an encoded name":           {"GET /%65xec/n/p/c" + host + "\r\n", 403, 403, 200},
		"encoded slashes in a name": {"GET /containerLogs/n/..%2f..%2fp/c" + host + "\r\n", 403, 200, 200},
		"a path out":                {"GET /logs/..%2f..%2fetc%2fpasswd" + host + "\r\n", 403, 403, 200}, // what serves it cleans it
		"an absolute URI":           {"GET http://127.0.0.1/pods" + host + "\r\n", 403, 200, 200},
		"another in an absolute":    {"GET http://attacker.example/pods" + host + "\r\n", 403, 403, 403},
		"another host":              {"GET /metrics HTTP/1.1\r\nHost: attacker.example:10255\r\n\r\n", 403, 403, 403},
		"a name without dots":       {"GET /metrics HTTP/1.1\r\nHost: solopod\r\n\r\n", 403, 403, 200},
		"CONNECT":                   {"CONNECT 127.0.0.1:22" + host + "\r\n", 404, 404, 404},
		"CONNECT to a path":         {"CONNECT /exec/n/p/c" + host + "\r\n", 404, 404, 405},
		"any":                       {"OPTIONS *" + host + "\r\n", 400, 400, 400},
		"HTTP/2":                    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 400, 400},
		"a body that is not needed": {"GET /metrics" + host + "Content-Length: 5\r\n\r\n12345", 200, 200, 200},
		"a chunked one":             {"GET /metrics" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, 200, 200},
		"a large one":               {"GET /metrics" + host + "Content-Length: 100000000\r\n\r\n" + strings.Repeat("x", 70<<10), 413, 413, 413},
		"two lengths":               {"GET /metrics" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400, 400, 400},
		"both kinds of length":      {"GET /metrics" + host + "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, 200, 200},
		"a strange coding":          {"GET /metrics" + host + "Transfer-Encoding: gzip\r\n\r\n", 501, 501, 501},
		"a huge header":             {"GET /metrics" + host + "X: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431, 431, 431},
		"many headers":              {"GET /metrics" + host + strings.Repeat("X: y\r\n", 20<<10) + "\r\n", 431, 431, 431},
		"a folded header":           {"GET /pods" + host + "X: a\r\n b\r\n\r\n", 403, 200, 200},
		"a header without a name":   {"GET /metrics" + host + ": x\r\n\r\n", 400, 400, 400},
		"no request":                {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 400, 400},
	} {
		for who, port := range map[string]struct {
			dial func() net.Conn
			want int
		}{"a scraper": {scraper, c.scraper}, "a reader": {reader, c.reader}, "an admin": {admin, c.admin}} {
			conn := port.dial()
			resp, body := send(t, conn, c.request)
			if resp.StatusCode != port.want {
				t.Errorf("%s, of %s: %d, not %d: %s", name, who, resp.StatusCode, port.want, body)
			}
			// What net/http refuses itself, before anybody is asked, has no more than a word.
			if h := resp.Header; !slices.Contains([]int{400, 431, 501}, resp.StatusCode) && (h.Get("X-Content-Type-Options") != "nosniff" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("X-Frame-Options") != "DENY" ||
				h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store") {
				t.Errorf("%s, of %s: headers %v", name, who, h)
			}
			conn.Close()
		}
	}
}

// What a scraper may not see comes with how to see it.
func TestAdvice(t *testing.T) {
	for role, c := range map[access.Role]struct{ door, path, says string }{
		access.Scraper: {"use the socket", "/pods", "the plain port shows health and metrics alone; use the socket"},
		access.Reader:  {"use the socket", "/exec/n/p/c", "may only read; this needs the socket"},
		access.None:    {"", "/pods", "may only read health and metrics; this needs the role read-only"},
	} {
		d := plainDoor(role)
		d.More = c.door
		if resp, body := send(t, listen(t, "tcp", d)(), "GET "+c.path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, c.says) {
			t.Errorf("role %d: %d, %s", role, resp.StatusCode, body)
		}
	}
}

// Many requests in one packet are answered, in their order.
func TestPipelined(t *testing.T) {
	const n = 2000
	conn := listen(t, "tcp", plainDoor(access.Reader))()
	go io.WriteString(conn, strings.Repeat("GET /pods HTTP/1.1\r\nHost: localhost\r\n\r\nGET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", n)) //nolint:errcheck // the answers tell
	r := bufio.NewReader(conn)
	for i := range 2 * n {
		if resp, body := receive(t, r, http.MethodGet); resp.StatusCode != 200+204*(i%2) {
			t.Fatalf("answer %d: %d, %s", i, resp.StatusCode, body)
		}
	}
}

// A body that does not come keeps no connection at work, whoever may send it; one that comes in parts is taken.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	port, socket := listen(t, "tcp", plainDoor(access.Scraper)), listen(t, "unix", Door{Who: access.Socket, Host: &hosts.Machine{}})
	var waiting sync.WaitGroup
	for name, c := range map[string]struct {
		dial    func() net.Conn
		request string
		code    int
	}{
		"on the port":   {port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", 400},
		"of an archive": {port, "POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", 403},
		"on the socket": {socket, "POST /restart/n/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345", 400},
	} {
		conn := c.dial()
		waiting.Go(func() {
			begun := time.Now()
			resp, body := send(t, conn, c.request)
			if resp.StatusCode != c.code {
				t.Errorf("%s: %d, %s", name, resp.StatusCode, body)
			}
			if n, err := conn.Read(make([]byte, 1)); err == nil || time.Since(begun) > 30*time.Second {
				t.Errorf("%s: %d bytes, %v, after %s", name, n, err, time.Since(begun))
			}
		})
	}
	conn := port()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1"); err != nil {
		t.Fatal(err)
	}
	if resp, body := send(t, conn, "2"); resp.StatusCode != 200 {
		t.Errorf("in parts: %d, %s", resp.StatusCode, body)
	}
	waiting.Wait()
}

// The end of an archive is the end that readers know.
func TestPatientReader(t *testing.T) {
	read := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(answer.Patient(w, r, answerTime))
		if err == nil && string(data) != "archive" {
			err = fmt.Errorf("%q was read", data)
		}
		read <- err
	}))
	defer server.Close()
	resp, err := http.Post(server.URL, "application/x-tar", strings.NewReader("archive"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// A page of another site asks for a change.
func TestCrossSite(t *testing.T) {
	for name, c := range map[string]struct {
		header, value string
		want          bool
	}{
		"no browser": {"", "", false}, "the same": {"Origin", "http://example.com", false}, "another": {"Origin", "http://elsewhere.example", true},
		"none": {"Origin", "null", true}, "another port": {"Origin", "http://example.com:81", true}, "said so": {"Sec-Fetch-Site", "cross-site", true},
		"a neighbour": {"Sec-Fetch-Site", "same-site", true}, "itself": {"Sec-Fetch-Site", "same-origin", false}, "typed": {"Sec-Fetch-Site", "none", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/restart/n/p", nil)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		if got := crossSite(r); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Whatever a request's path and query are, who may only see metrics, or only read, changes nothing and enters nothing, and gets an answer.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{"/exec/n/p/c?command=id", "//exec/n/p/c", "/pods/../exec/n/p/c", "/logs/%2e%2e/x", "/restart/n/p?x=%zz", "/containerLogs/n/p/c?follow=true;tailLines=1", "*", "/%", "/?watch=true", "http://h/pods"} {
		for method := range 4 {
			f.Add(method, seed)
		}
	}
	changes := http.NewServeMux()
	open := http.NewServeMux()
	open.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	changes.HandleFunc("/", func(http.ResponseWriter, *http.Request) { panic("a request has come where its client may not go") })
	s := &Server{trail: audit.NewTrail(nil), measuring: open, reading: open, all: changes}
	scraper, reader := s.guard(plainDoor(access.Scraper)), s.guard(plainDoor(access.Reader))
	f.Fuzz(func(t *testing.T, method int, target string) {
		if strings.ContainsAny(target, " \r\n") {
			return
		}
		methods := []string{"GET", "POST", "DELETE", "PUT"}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(methods[uint(method)%4] + " " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")))
		if err != nil {
			return
		}
		for _, door := range []http.Handler{scraper, reader} {
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			if w.Code < 200 || w.Code > 499 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %q: %d", r.Method, target, w.Code)
			}
		}
	})
}
