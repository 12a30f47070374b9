package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// probeServer is what probes and hooks ask on the host: it notes the requests, and answers as their path says.
type probeServer struct {
	http  *http.Server
	https *http.Server
	port  string
	tls   string
	lock  sync.Mutex
	// asked has the requests by their paths.
	asked map[string][]*http.Request
	ill   map[string]bool
}

// asks is the server of all behaviours; each has paths of its own, that begin with its pod's name.
var asks = &probeServer{}

// serve starts the server and puts its ports into the box.
func (s *probeServer) serve(b *box) {
	b.t.Helper()
	certificates(b.t, b.dir)
	s.asked, s.ill = map[string][]*http.Request{}, map[string]bool{}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		return l
	}
	plain, encrypted := listen(), listen()
	s.http, s.https = &http.Server{Handler: s}, &http.Server{Handler: s}
	_, s.port, _ = net.SplitHostPort(plain.Addr().String())
	_, s.tls, _ = net.SplitHostPort(encrypted.Addr().String())
	go s.http.Serve(plain)                                                     //nolint:errcheck // it is closed
	go s.https.ServeTLS(encrypted, b.path("server.crt"), b.path("server.key")) //nolint:errcheck // it is closed
	b.t.Cleanup(func() {
		s.http.Close()
		s.https.Close()
	})
}

func (s *probeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	name := strings.Split(r.URL.Path, "/")[1]
	s.asked[name] = append(s.asked[name], r)
	ill := s.ill[name]
	s.lock.Unlock()
	var code int
	switch {
	case ill:
		http.Error(w, "ill", http.StatusInternalServerError)
	case strings.Contains(r.URL.Path, "/away"):
		http.Redirect(w, r, "http://0.0.0.0/", http.StatusFound)
	case strings.Contains(r.URL.Path, "/near"):
		http.Redirect(w, r, "/"+name+"/status/500", http.StatusFound)
	case strings.Contains(r.URL.Path, "/slow"):
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second):
		}
	case scan(r.URL.Path, name, &code):
		w.WriteHeader(code)
	}
}

func scan(path, name string, code *int) bool {
	n, err := fmt.Sscanf(path, "/"+name+"/status/%d", code)
	return err == nil && n == 1
}

func (s *probeServer) requests(name string) []*http.Request {
	s.lock.Lock()
	defer s.lock.Unlock()
	return slices.Clone(s.asked[name])
}

func (s *probeServer) makeIll(name string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.ill[name] = true
}

// httpGetOf is an httpGet action that asks the server.
func httpGetOf(path, rest string) string {
	return "httpGet: {host: 127.0.0.1, port: @http, path: /@pod" + path + rest + "}"
}

// probing is the three kinds of probes.
var probing = area{name: "probes", prepare: asks.serve, behaviours: []behaviour{
	{name: "without probes a container that runs is ready", script: forever, check: func(c *trial) {
		s := status(c.ready(), "main")
		c.equal("it is ready, and started", s.Ready && *s.Started, true)
	}},
	{name: "a readiness probe that fails never makes the pod ready, and restarts nothing", main: "readinessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.event("Unhealthy", "Readiness probe failed")
		c.stays(3*time.Second, "unready and unrestarted", func(p *v1.Pod) bool { return !isReady(p) && status(p, "main").RestartCount == 0 })
	}},
	{name: "a readiness probe is not tried before its delay", main: "readinessProbe: {exec: {command: ['true']}, initialDelaySeconds: 4, periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		var started, ready time.Time
		for _, s := range c.history() {
			if started.IsZero() && status(s.pod, "main").State.Running != nil {
				started = s.at
			}
			if ready.IsZero() && isReady(s.pod) {
				ready = s.at
			}
		}
		if d := ready.Sub(started); d < 3500*time.Millisecond {
			c.errorf("it was ready after %s", d)
		}
	}},
	{name: "a pod becomes ready and unready with its readiness probe", main: "readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		c.sh("touch /ready")
		c.ready()
		c.sh("rm /ready")
		p := c.wait("unready", func(p *v1.Pod) bool { return !isReady(p) })
		c.equal("the restarts", status(p, "main").RestartCount, int32(0))
		c.sh("touch /ready")
		c.ready()
	}},
	{name: "successThreshold counts successes one after another", main: "readinessProbe: {exec: {command: [sh, -c, 'echo x >>/n']}, periodSeconds: 1, successThreshold: 3}", script: forever, check: func(c *trial) {
		c.ready()
		if n := c.sh("wc -l </n"); n < "3" {
			c.errorf("it was ready after %s tries", n)
		}
	}},
	{name: "failureThreshold counts failures one after another", main: "livenessProbe: {exec: {command: [sh, -c, 'echo x >>/v/n; false']}, periodSeconds: 1, failureThreshold: 4}\n" + mountedAt, spec: volume("hostPath: {path: @host}") + "\nrestartPolicy: Always", script: "echo begin >>/v/n; " + forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
		})
		first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimLeft(c.hostFile("n"), "x\n"), "begin\n"), "begin")
		c.equal("the tries", strings.Count(first, "x"), 4)
	}},
	{name: "a liveness probe by a command restarts a container that is ill", spec: "restartPolicy: Always", main: "livenessProbe: {exec: {command: [cat, /health]}, periodSeconds: 1, failureThreshold: 1}", script: "touch /health; sleep 3; rm /health; " + forever, check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		if d := status(p, "main").LastTerminationState.Terminated; d.FinishedAt.Sub(d.StartedAt.Time) < 2*time.Second {
			c.errorf("it was restarted while it was well: %v", d)
		}
		c.event("Unhealthy", "Liveness probe failed")
		c.event("Killing", "liveness probe")
	}},
	{name: "a liveness probe by a command leaves a container alone that is well", main: "livenessProbe: {exec: {command: [cat, /health]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1}", script: "touch /health; " + forever, check: unrestarted},
	{name: "a liveness probe by HTTP restarts a container that is ill", spec: "restartPolicy: Always", main: "livenessProbe: {" + httpGetOf("/", "") + ", periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.ready()
		c.until("it is asked", func() error {
			if len(asks.requests(c.pod)) < 2 {
				return errGivenUp
			}
			return nil
		})
		c.equal("the restarts", status(c.ready(), "main").RestartCount, int32(0))
		asks.makeIll(c.pod)
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.event("Unhealthy", "status 500")
	}},
	{name: "a liveness probe by HTTP leaves a container alone that is well", main: "livenessProbe: {" + httpGetOf("/status/200", "") + ", periodSeconds: 1, failureThreshold: 1}", script: forever, check: unrestarted},
	statusIs(200), statusIs(204), statusIs(399), statusIs(400), statusIs(404), statusIs(503),
	{name: "a probe by HTTPS does not look at the certificate", main: "readinessProbe: {httpGet: {host: 127.0.0.1, port: @tls, scheme: HTTPS, path: /@pod/}, periodSeconds: 1}", script: forever, check: func(c *trial) { c.ready() }},
	{name: "a probe by HTTP sends the headers of its manifest", main: "readinessProbe: {" + httpGetOf("/", ", httpHeaders: [{name: X-Some, value: thing}, {name: X-Some, value: other}]") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the headers", strings.Join(asks.requests(c.pod)[0].Header.Values("X-Some"), " "), "thing other")
	}},
	{name: "a probe by HTTP says that it is one", main: "readinessProbe: {" + httpGetOf("/", "") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		r := asks.requests(c.pod)[0]
		c.contains("the agent", r.UserAgent(), "kube-probe/")
		c.equal("Accept", r.Header.Get("Accept"), "*/*")
		c.equal("Connection", r.Header.Get("Connection")+fmt.Sprint(r.Close), "closetrue")
	}},
	{name: "a probe's headers win over its own", main: "readinessProbe: {" + httpGetOf("/", ", httpHeaders: [{name: User-Agent, value: foo/1.0}, {name: Accept, value: text/html}, {name: Host, value: some.example}]") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		r := asks.requests(c.pod)[0]
		c.equal("the agent", r.UserAgent(), "foo/1.0")
		c.equal("Accept", r.Header.Get("Accept"), "text/html")
		c.equal("Host", r.Host, "some.example")
	}},
	{name: "an empty header takes a probe's own away", main: "readinessProbe: {" + httpGetOf("/", ", httpHeaders: [{name: User-Agent, value: ''}, {name: Accept, value: ''}]") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		r := asks.requests(c.pod)[0]
		c.equal("the agent", r.UserAgent(), "")
		c.equal("Accept", r.Header.Get("Accept"), "")
	}},
	{name: "a probe's Host header is that of its manifest", main: "readinessProbe: {" + httpGetOf("/", ", httpHeaders: [{name: Host, value: some.example}]") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("Host", asks.requests(c.pod)[0].Host, "some.example")
	}},
	{name: "a probe's path keeps its query", main: "readinessProbe: {" + strings.Replace(httpGetOf("/QUERY", ""), "/@pod/QUERY", "'/@pod/?a=b&c=d'", 1) + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the query", asks.requests(c.pod)[0].URL.RawQuery, "a=b&c=d")
	}},
	{name: "a probe follows a redirect within its host", main: "readinessProbe: {" + httpGetOf("/near", "") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.event("Unhealthy", "status 500")
		c.stays(2*time.Second, "unready", func(p *v1.Pod) bool { return !isReady(p) })
	}},
	{name: "a probe takes a redirect to elsewhere for a success", main: "readinessProbe: {" + httpGetOf("/away", "") + ", periodSeconds: 1}", script: forever, check: func(c *trial) { c.ready() }},
	{name: "a probe warns of a redirect to elsewhere", main: "readinessProbe: {" + httpGetOf("/away", "") + ", periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.event("ProbeWarning", "the redirect to another host (status 302) was not followed")
	}},
	{name: "a probe by HTTP that is not answered in time has failed", main: "readinessProbe: {" + httpGetOf("/slow", "") + ", periodSeconds: 1, timeoutSeconds: 1}", script: forever, check: func(c *trial) {
		c.event("Unhealthy", "Readiness probe failed")
		c.stays(time.Second, "unready", func(p *v1.Pod) bool { return !isReady(p) })
	}},
	{name: "a probe by HTTP has the time that it is given", main: "readinessProbe: {" + httpGetOf("/slow", "") + ", periodSeconds: 1, timeoutSeconds: 20}", script: forever, check: func(c *trial) { c.ready() }},
	{name: "a probe finds a port by its name", spec: "hostNetwork: false", main: "ports: [{name: web, containerPort: 8080}]\nreadinessProbe: {httpGet: {port: web, path: /f}, periodSeconds: 1}", script: "mkdir /www; echo x >/www/f; exec httpd -f -p 8080 -h /www", check: func(c *trial) { c.ready() }},
	{name: "a probe by HTTP asks the pod's address", spec: "hostNetwork: false", main: "readinessProbe: {httpGet: {port: 8080, path: /none}, periodSeconds: 1}", script: "exec httpd -f -p 8080 -h /tmp", check: func(c *trial) { c.event("Unhealthy", "status 404") }},
	{name: "a probe by TCP makes ready what listens", spec: "hostNetwork: false", main: "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}", script: "sleep 2; exec httpd -f -p 8080", check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil && !isReady(p) })
		c.ready()
	}},
	{name: "a liveness probe by TCP restarts what does not listen", spec: "hostNetwork: false\nrestartPolicy: Always", main: "livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.event("Unhealthy", "connection refused")
	}},
	{name: "a liveness probe by TCP leaves alone what listens", spec: "hostNetwork: false", main: "livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 2}", script: "exec httpd -f -p 8080", check: unrestarted},
	{name: "a liveness probe by gRPC restarts what does not answer", spec: "hostNetwork: false\nrestartPolicy: Always", main: "livenessProbe: {grpc: {port: 2333}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	}},
	{name: "a liveness probe by a command that takes too long has failed", spec: "restartPolicy: Always", main: "livenessProbe: {exec: {command: [sleep, '10']}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.event("Unhealthy", "no answer within 1 s")
	}},
	{name: "a liveness probe by a command that fails and leaves a child behind has failed", spec: "restartPolicy: Always", main: "livenessProbe: {exec: {command: [sh, -c, 'sleep 10 & exit 1']}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	}},
	{name: "a readiness probe by a command that takes too long has failed", main: "readinessProbe: {exec: {command: [sleep, '10']}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.event("Unhealthy", "no answer within 1 s")
		c.stays(time.Second, "unready", func(p *v1.Pod) bool { return !isReady(p) })
	}},
	{name: "a probe's command has the container's environment and user", spec: "securityContext: {runAsUser: 1000}", main: "env: [{name: A, value: given}]\nreadinessProbe: {exec: {command: [sh, -c, '[ $A-$(id -u) = given-1000 ]']}, periodSeconds: 1}", script: forever, check: func(c *trial) { c.ready() }},
	{name: "a startup probe that fails restarts the container, although it would be live", spec: "restartPolicy: Always", main: "startupProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 2}\nlivenessProbe: {exec: {command: ['true']}, periodSeconds: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.event("Unhealthy", "Startup probe failed")
	}},
	{name: "no other probe is tried before the startup probe has succeeded", spec: volume("hostPath: {path: @host}"), main: "startupProbe: {exec: {command: [cat, /v/go]}, periodSeconds: 1, failureThreshold: 60}\nlivenessProbe: {exec: {command: [sh, -c, 'touch /v/live']}, periodSeconds: 1}\nreadinessProbe: {exec: {command: [sh, -c, 'touch /v/ready']}, periodSeconds: 1}\n" + mountedAt, script: forever, check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		c.stays(3*time.Second, "not started", func(p *v1.Pod) bool { s := status(p, "main"); return !s.Ready && s.Started != nil && !*s.Started })
		for _, name := range []string{"live", "ready"} {
			if _, err := os.Stat(c.host + "/" + name); err == nil {
				c.errorf("the probe %s was tried", name)
			}
		}
		c.sh("touch /v/go")
		c.ready()
	}},
	{name: "the liveness probe counts once the startup probe has succeeded", spec: "restartPolicy: Always", main: "startupProbe: {exec: {command: [cat, /go]}, periodSeconds: 1, failureThreshold: 60}\nlivenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		c.stays(2*time.Second, "unrestarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 0 })
		c.sh("touch /go")
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	}},
	{name: "a pod is ready soon after its startup probe has succeeded, whatever the period", main: "startupProbe: {exec: {command: [cat, /go]}, periodSeconds: 1, failureThreshold: 60}\nreadinessProbe: {exec: {command: ['true']}, periodSeconds: 60}", script: forever, check: func(c *trial) {
		c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		c.sh("touch /go")
		began := time.Now()
		c.ready()
		if d := time.Since(began); d > 15*time.Second {
			c.errorf("it was ready after %s", d)
		}
	}},
	{name: "a liveness probe's grace period wins over the pod's", spec: "restartPolicy: Always\nterminationGracePeriodSeconds: 500", main: "livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 2}", script: "trap '' TERM; while [ ! -e /end ]; do sleep 1; done", check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
		})
		c.equal("the exit code", status(p, "main").LastTerminationState.Terminated.ExitCode, int32(137))
		edited := c.behaviour
		edited.spec = "restartPolicy: Always\nterminationGracePeriodSeconds: 1"
		c.apply(edited)
		c.wait("edited", func(p *v1.Pod) bool { return *p.Spec.TerminationGracePeriodSeconds == 1 })
	}},
	{name: "a startup probe's grace period wins over the pod's", spec: "restartPolicy: Always\nterminationGracePeriodSeconds: 500", main: "startupProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 2}", script: "trap '' TERM; while [ ! -e /end ]; do sleep 1; done", check: func(c *trial) {
		p := c.wait("restarted", func(p *v1.Pod) bool {
			return status(p, "main").RestartCount == 1 && status(p, "main").State.Running != nil
		})
		c.equal("the exit code", status(p, "main").LastTerminationState.Terminated.ExitCode, int32(137))
		edited := c.behaviour
		edited.spec = "restartPolicy: Always\nterminationGracePeriodSeconds: 1"
		c.apply(edited)
		c.wait("edited", func(p *v1.Pod) bool { return *p.Spec.TerminationGracePeriodSeconds == 1 })
	}},
	{name: "a readiness probe's grace period is refused", main: "readinessProbe: {exec: {command: ['true']}, terminationGracePeriodSeconds: 2}", script: "true", check: refused("a readiness probe ends no container")},
	{name: "a successThreshold of liveness other than one is refused", main: "livenessProbe: {exec: {command: ['true']}, successThreshold: 2}", script: "true", check: refused("must be 1")},
	{name: "with OnFailure a container that was ended for its liveness restarts, although it ended with 0", spec: "restartPolicy: OnFailure", main: "livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	}},
	{name: "with Never a container that was ended for its liveness stays ended, and the pod has failed", main: "livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}", script: "trap 'exit 1' TERM; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.equal("the restarts", status(c.phase(v1.PodFailed), "main").RestartCount, int32(0))
	}},
	{name: "liveness is not looked at while the pod ends", spec: "terminationGracePeriodSeconds: 20\nrestartPolicy: Always", main: "livenessProbe: {exec: {command: [cat, /live]}, periodSeconds: 1, failureThreshold: 1}", script: "trap 'rm /live; sleep 4; exit 0' TERM; touch /live; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(4*time.Second, 15*time.Second)
		for _, e := range c.events("Unhealthy") {
			if strings.Contains(e, "Liveness") {
				c.errorf("there is an event: %s", e)
			}
		}
	}},
	{name: "the restarts are counted up", spec: "restartPolicy: Always", main: "livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}", script: forever, check: func(c *trial) {
		c.wait("restarted twice", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 2 })
		last := int32(0)
		for _, s := range c.history() {
			if n := status(s.pod, "main").RestartCount; n < last || n > last+1 {
				c.errorf("the restarts went from %d to %d", last, n)
			} else {
				last = n
			}
		}
	}},
}}

func unrestarted(c *trial) {
	c.ready()
	c.stays(5*time.Second, "unrestarted and ready", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 0 && isReady(p) })
}

// statusIs is what a probe makes of a status of HTTP.
func statusIs(code int) behaviour {
	v := behaviour{main: "readinessProbe: {" + httpGetOf(fmt.Sprintf("/status/%d", code), "") + ", periodSeconds: 1}", script: forever}
	if code >= 200 && code < 400 {
		v.name = fmt.Sprintf("status %d of HTTP is a success", code)
		v.check = func(c *trial) { c.ready() }
	} else {
		v.name = fmt.Sprintf("status %d of HTTP is a failure", code)
		v.check = func(c *trial) {
			c.event("Unhealthy", fmt.Sprintf("status %d", code))
			c.equal("the pod is ready", isReady(c.history()[len(c.history())-1].pod), false)
		}
	}
	return v
}

// hooks are postStart and preStop.
var hooks = area{name: "hooks", prepare: asks.serve, behaviours: []behaviour{
	{name: "a postStart command runs after the start", spec: volume("emptyDir: {}"), main: "lifecycle: {postStart: {exec: {command: [sh, -c, 'echo hooked >/v/.f; mv /v/.f /v/f']}}}\n" + mountedAt, script: "until [ -e /v/f ]; do usleep 100000; done; cat /v/f", log: "hooked\n"},
	{name: "a postStart hook by HTTP asks its host", main: "lifecycle: {postStart: {" + httpGetOf("/poststart", "") + "}}", script: forever, check: askedFor("/poststart", false)},
	{name: "a postStart hook by HTTPS asks its host", main: "lifecycle: {postStart: {httpGet: {host: 127.0.0.1, port: @tls, scheme: HTTPS, path: /@pod/poststart}}}", script: forever, check: askedFor("/poststart", false)},
	{name: "a hook by HTTPS to a server of HTTP falls back", main: "lifecycle: {postStart: {httpGet: {host: 127.0.0.1, port: @http, scheme: HTTPS, path: /@pod/poststart}}}", script: forever, check: askedFor("/poststart", false)},
	{name: "a hook by HTTP sends the headers of its manifest", main: "lifecycle: {postStart: {" + httpGetOf("/", ", httpHeaders: [{name: X-Some, value: thing}]") + "}}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the header", asks.requests(c.pod)[0].Header.Get("X-Some"), "thing")
	}},
	{name: "a hook by HTTP asks the pod's address by default", spec: "hostNetwork: false", init: item("side", "mkdir /www; httpd -f -vv -p 8080 -h /www", "restartPolicy: Always\nstartupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}"), main: "lifecycle: {postStart: {httpGet: {port: 8080, path: /asked}}}", script: forever, check: func(c *trial) {
		c.ready()
		c.until("it is asked", func() error {
			if text := c.logs("side"); !strings.Contains(text, "/asked") {
				return fmt.Errorf("%q", text)
			}
			return nil
		})
	}},
	{name: "a container is not ready before its postStart hook has ended", main: "lifecycle: {postStart: {exec: {command: [sleep, '3']}}}", script: forever, check: func(c *trial) {
		c.ready()
		for _, s := range c.history() {
			if r := status(s.pod, "main").State.Running; r != nil && isReady(s.pod) && s.at.Sub(r.StartedAt.Time) < 2*time.Second {
				c.errorf("it was ready %s after its start", s.at.Sub(r.StartedAt.Time))
			}
		}
	}},
	{name: "a postStart hook holds back the next container", spec: volume("emptyDir: {}"), main: "lifecycle: {postStart: {exec: {command: [sh, -c, 'sleep 2; touch /v/f']}}}\n" + mountedAt, script: "sleep 4", beside: item("other", "ls /v/f", mountedAt), check: func(c *trial) {
		p := c.wait("ended", func(p *v1.Pod) bool { return status(p, "other").State.Terminated != nil })
		c.equal("the other's exit code", status(p, "other").State.Terminated.ExitCode, int32(0))
	}},
	{name: "a postStart hook that fails ends the container, and it is restarted", spec: "restartPolicy: Always", main: "lifecycle: {postStart: {exec: {command: ['false']}}}", script: forever, check: func(c *trial) {
		c.event("FailedPostStartHook", "")
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
	}},
	{name: "a postStart hook that fails of a pod with Never fails the pod", main: "lifecycle: {postStart: {exec: {command: ['false']}}}", script: "trap 'exit 1' TERM; while :; do sleep 1000 & wait; done", check: func(c *trial) {
		c.equal("the restarts", status(c.phase(v1.PodFailed), "main").RestartCount, int32(0))
	}},
	{name: "a postStart hook may sleep", spec: "terminationGracePeriodSeconds: 5", main: "lifecycle: {postStart: {sleep: {seconds: 2}}}", script: forever, check: func(c *trial) {
		p := c.ready()
		if d := condition(p, v1.PodReady).LastTransitionTime.Sub(status(p, "main").State.Running.StartedAt.Time); d < time.Second {
			c.errorf("it was ready %s after its start", d)
		}
	}},
	{name: "a preStop command runs before the signal", spec: "terminationGracePeriodSeconds: 20\n" + hostVolume, main: "lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/v/order; sleep 1; echo hooked >>/v/order']}}}\n" + mountedAt, script: noteEnd, check: removedOrder("main hook hooked end-main")},
	{name: "a preStop hook by HTTP asks its host", main: "lifecycle: {preStop: {" + httpGetOf("/prestop", "") + "}}", script: forever, check: askedFor("/prestop", true)},
	{name: "a preStop hook by HTTPS asks its host", main: "lifecycle: {preStop: {httpGet: {host: 127.0.0.1, port: @tls, scheme: HTTPS, path: /@pod/prestop}}}", script: forever, check: askedFor("/prestop", true)},
	{name: "a preStop hook may sleep", spec: "terminationGracePeriodSeconds: 20", main: "lifecycle: {preStop: {sleep: {seconds: 3}}}", script: forever, check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 12*time.Second)
	}},
	{name: "a preStop hook of sleep ends with its container", spec: "terminationGracePeriodSeconds: 20\nrestartPolicy: Never", main: "lifecycle: {preStop: {sleep: {seconds: 15}}}", script: "sleep 3", check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(0, 10*time.Second)
	}},
	{name: "a preStop hook of sleep longer than the grace period ends with it", spec: "terminationGracePeriodSeconds: 3", main: "lifecycle: {preStop: {sleep: {seconds: 3}}}", script: "trap '' TERM; while :; do sleep 1; done", check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 12*time.Second)
	}},
	{name: "a preStop hook of sleep longer than the grace period is refused", spec: "terminationGracePeriodSeconds: 3", main: "lifecycle: {preStop: {sleep: {seconds: 30}}}", script: "true", check: refused("terminationGracePeriodSeconds")},
	{name: "a preStop hook that fails is told, and the container is ended", spec: "terminationGracePeriodSeconds: 20\n" + hostVolume, main: "lifecycle: {preStop: {exec: {command: ['false']}}}\n" + mountedAt, script: noteEnd, check: func(c *trial) {
		removedOrder("main end-main")(c)
		c.event("FailedPreStopHook", "")
	}},
	{name: "a preStop hook that hangs is cut off by the grace period", spec: "terminationGracePeriodSeconds: 3", main: "lifecycle: {preStop: {exec: {command: [sleep, '100']}}}", script: forever, check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 12*time.Second)
	}},
	{name: "a preStop hook runs before a restart for liveness, too", spec: "restartPolicy: Always\nterminationGracePeriodSeconds: 20\n" + volume("hostPath: {path: @host}"), main: "lifecycle: {preStop: {exec: {command: [sh, -c, 'touch /v/hooked']}}}\nlivenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}\n" + mountedAt, script: forever, check: func(c *trial) {
		c.wait("restarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 1 })
		c.hostFile("hooked")
	}},
	{name: "no preStop hook runs for a container that ends by itself", spec: volume("hostPath: {path: @host}"), main: "lifecycle: {preStop: {exec: {command: [sh, -c, 'touch /v/hooked']}}}\n" + mountedAt, script: "true", check: func(c *trial) {
		c.phase(v1.PodSucceeded)
		if _, err := os.Stat(c.host + "/hooked"); err == nil {
			c.errorf("it ran")
		}
	}},
	{name: "preStop hooks of all containers run together", spec: "terminationGracePeriodSeconds: 20\nrestartPolicy: Always", main: "lifecycle: {preStop: {sleep: {seconds: 3}}}", script: forever, beside: item("other", forever, "lifecycle: {preStop: {sleep: {seconds: 3}}}"), check: func(c *trial) {
		c.ready()
		c.remove(c.pod + ".yaml")
		c.goneWithin(3*time.Second, 5500*time.Millisecond)
	}},
	{name: "a hook with two handlers is refused", main: "lifecycle: {preStop: {sleep: {seconds: 1}, exec: {command: ['true']}}}", script: "true", check: refused("exactly one")},
}}

// askedFor waits until the server was asked for a path, for preStop after the pod's removal.
func askedFor(path string, removed bool) func(c *trial) {
	return func(c *trial) {
		c.ready()
		if removed {
			c.equal("the requests before the end", len(asks.requests(c.pod)), 0)
			c.remove(c.pod + ".yaml")
			c.goneWithin(0, 15*time.Second)
		}
		c.until("the server is asked", func() error {
			list := asks.requests(c.pod)
			if len(list) == 0 {
				return fmt.Errorf("it is not")
			}
			if got := list[len(list)-1].URL.Path; got != "/"+c.pod+path {
				return fmt.Errorf("for %s", got)
			}
			return nil
		})
	}
}
