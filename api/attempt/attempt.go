// Package attempt knows what a request attempts: whether it changes something or enters a container, who asks, what becomes of it; and has
// that written down in the audit trail.
package attempt

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/audit"
)

// Refused attempts get a line each, but no more of one listener than these: nobody without rights fills the log. Those without a line are
// counted in the next one.
const (
	refusedPerSecond = 1
	refusedAtOnce    = 20
)

// Audited has what a request has changed, or was refused, written down to trail. Each listener has one.
func Audited(trail *audit.Trail, next http.Handler) http.Handler {
	l := &auditor{trail: trail, refused: rate.NewLimiter(refusedPerSecond, refusedAtOnce)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &Attempt{auditor: l, began: time.Now(), error: "it was broken off"}
		defer a.end(r)
		next.ServeHTTP(recorder{w, a, http.NewResponseController(w)}, r.WithContext(context.WithValue(r.Context(), attemptKey{}, a)))
		a.completed()
	})
}

// auditor is one listener's.
type auditor struct {
	trail   *audit.Trail
	refused *rate.Limiter

	mu     sync.Mutex
	unsaid int
}

// record writes a line; of those that anybody can cause no more than the limit.
func (l *auditor) record(line audit.Line, limited bool) {
	l.mu.Lock()
	if limited && !l.refused.Allow() {
		l.unsaid++
		l.mu.Unlock()
		return
	}
	line.Unsaid, l.unsaid = l.unsaid, 0
	l.mu.Unlock()
	l.trail.Record(line)
}

type attemptKey struct{}

// Attempt is one request, and what is known of it by now.
type Attempt struct {
	*auditor
	began time.Time

	mu     sync.Mutex
	user   access.User
	status int
	ports  []string
	begun  bool // there is a line of its begin
	error  string
	said   bool // error is what the answer says, or of a session
}

// Of finds the attempt of a request; outside of a listener it is one that nobody writes down.
func Of(r *http.Request) *Attempt {
	if a, ok := r.Context().Value(attemptKey{}).(*Attempt); ok {
		return a
	}
	return &Attempt{}
}

// By says who asks.
func (a *Attempt) By(user access.User) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.user = user
}

// Begin writes down that something begins that lasts: whatever becomes of this process, there is a line of it.
func (a *Attempt) Begin(r *http.Request) {
	if a.auditor == nil || !lasts(r) {
		return
	}
	a.mu.Lock()
	a.begun = true
	user := a.user
	a.mu.Unlock()
	line := lineOf(r)
	line.Stage, line.User = audit.Begin, user.Name
	a.record(line, user.Role != access.Admin)
}

// Failed notes why it failed.
func (a *Attempt) Failed(err error) {
	if err == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.said { // who knows best says it first
		a.error, a.said = err.Error(), true
	}
}

// Reached notes a port of a port-forward.
func (a *Attempt) Reached(port string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.ports, port) && len(a.ports) < maxPorts {
		a.ports = append(a.ports, port)
	}
}

// maxPorts of one port-forward are written down.
const maxPorts = 16

func (a *Attempt) completed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.said {
		a.error = ""
	}
}

func (a *Attempt) answered(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
}

// end writes the line of a request that is over, if it is one to be written down.
func (a *Attempt) end(r *http.Request) {
	a.mu.Lock()
	user, status, ports, failure, stage := a.user, a.status, a.ports, a.error, audit.Done
	if a.begun {
		stage = audit.End
	}
	a.mu.Unlock()
	if status == 0 {
		status = http.StatusOK // as the library answers then
	}
	refused := slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, status)
	if !refused && !Changes(r) {
		return
	}
	line := lineOf(r)
	line.Stage, line.User, line.Ports, line.Status, line.Error = stage, user.Name, ports, status, failure
	line.Took = time.Since(a.began).Round(time.Millisecond).Seconds()
	a.record(line, refused || user.Role != access.Admin)
}

// lineOf is what a request says of itself.
func lineOf(r *http.Request) audit.Line {
	q := r.URL.Query()
	l := audit.Line{Method: r.Method, Path: r.URL.Path, Via: "port", From: r.RemoteAddr}
	if r.TLS != nil {
		l.Via = "tls"
		if len(r.TLS.VerifiedChains) > 0 {
			l.Subject = r.TLS.VerifiedChains[0][0].Subject.String()
		}
	}
	if p, ok := access.PeerOf(r.Context()); ok {
		l.Via, l.From = "socket", ""
		l.UID, l.LoginUID, l.PID, l.Process = &p.UID, p.LoginUID, p.PID, p.Process
	}
	l.Verb, l.Namespace, l.Pod, l.Container = target(r.Method, r.URL.Path)
	switch l.Verb {
	case "exec":
		l.Command = q["command"]
	case "run":
		l.Command = q["cmd"]
	}
	if l.Verb == "restart" {
		l.Container = q.Get("container")
		q.Del("container")
	}
	l.Query = rest(q)
	return l
}

// rest is the query without what stands elsewhere in the line, and without streams and tokens.
func rest(q url.Values) string {
	for _, known := range []string{"command", "cmd", "input", "output", "error", "tty", "stdin", "stdout", "stderr"} {
		q.Del(known)
	}
	for name := range q {
		if lower := strings.ToLower(name); strings.Contains(lower, "token") || strings.Contains(lower, "password") {
			q.Set(name, "-")
		}
	}
	text, err := url.QueryUnescape(q.Encode())
	if err != nil {
		return q.Encode()
	}
	return text
}

// verbs by method and first part of the path; without a method, for all of them.
var verbs = map[string]string{
	"exec": "exec", "attach": "attach", "portForward": "port-forward", "run": "run", "restart": "restart", "restartPods": "restart-pods", "checkpoint": "checkpoint",
	"GET files": "copy-from", "PUT files": "copy-to", "drain": "drain", "POST images": "import-images", "DELETE images": "remove-image", "POST bundles": "apply-bundle",
	"DELETE claims": "remove-claim", "rolloutUndo": "rollout-undo", "rolloutPause": "rollout-pause", "rolloutResume": "rollout-resume",
}

// target is what a request wants, of which pod. Unknown paths have their method as the verb.
func target(method, path string) (verb, namespace, pod, container string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch path {
	case "/images/pull":
		return "pull-image", "", "", ""
	case "/images/prune":
		return "prune-images", "", "", ""
	}
	verb = verbs[method+" "+parts[0]]
	if verb == "" {
		verb = verbs[parts[0]]
	}
	switch verb {
	case "":
		return strings.ToLower(method), "", "", ""
	case "restart-pods", "rollout-undo", "rollout-pause", "rollout-resume":
		if len(parts) > 1 {
			namespace = parts[1]
		}
		return verb, namespace, "", ""
	case "exec", "attach", "run", "copy-from", "copy-to", "checkpoint", "port-forward", "restart":
		if len(parts) < 3 {
			return verb, "", "", ""
		}
		if len(parts) > 3 && verb != "port-forward" && parts[len(parts)-1] != "-" {
			container = parts[len(parts)-1]
		}
		return verb, parts[1], parts[2], container
	}
	return verb, "", "", ""
}

// lasts says whether a request may take so long that its begin gets a line too.
func lasts(r *http.Request) bool {
	return Enters(r) || r.Method == http.MethodPost && (r.URL.Path == "/drain" || r.URL.Path == "/images/pull")
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	attempt *Attempt
	control *http.ResponseController
}

// WriteHeader implements http.ResponseWriter.
func (r recorder) WriteHeader(status int) {
	r.attempt.answered(status)
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, Hijack for libraries that take connections over.
func (r recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack implements http.Hijacker.
func (r recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := r.control.Hijack()
	if err == nil {
		r.attempt.answered(http.StatusSwitchingProtocols)
	}
	return conn, rw, err
}

// Fail notes, with the attempt that an answer is for, why it is one of failure.
func Fail(w io.Writer, err error) {
	for {
		if r, ok := w.(recorder); ok {
			r.attempt.Failed(err)
			return
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = inner.Unwrap()
	}
}

// Changes says whether a request changes something, or enters a container.
func Changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead || Enters(r)
}

// Enters says whether a request enters a container.
func Enters(r *http.Request) bool {
	for _, prefix := range []string{"/exec/", "/attach/", "/portForward/", "/run/", "/files/"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return true
		}
	}
	return false
}
