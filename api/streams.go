package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/attempt"
	"github.com/solopod/solopod/api/streaming"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/session"
)

// streams serves what enters containers and pods.
type streams struct{ runner *runner.Runner }

// routes adds the kubelet's paths, which name the pod's UID or leave it out, and those for files.
func (s streams) routes(mux *http.ServeMux) {
	for _, uid := range []string{"", "/{uid}"} {
		for _, method := range []string{"GET", "POST"} {
			mux.HandleFunc(method+" /exec/{namespace}/{pod}"+uid+"/{container}", s.exec)
			mux.HandleFunc(method+" /attach/{namespace}/{pod}"+uid+"/{container}", s.attach)
			mux.HandleFunc(method+" /portForward/{namespace}/{pod}"+uid, s.portForward)
		}
		mux.HandleFunc("POST /run/{namespace}/{pod}"+uid+"/{container}", s.run)
	}
	mux.HandleFunc("POST /checkpoint/{namespace}/{pod}/{container}", s.checkpoint)
	mux.HandleFunc("GET /files/{namespace}/{pod}/{container}", s.readFiles)
	mux.HandleFunc("PUT /files/{namespace}/{pod}/{container}", s.writeFiles)
}

// named is what a path names.
type named struct{ namespace, pod, container string }

func nameIn(r *http.Request) named {
	return named{r.PathValue("namespace"), r.PathValue("pod"), containerName(r)}
}

// entrance checks that a container can be entered, and answers when it cannot: once its streams are open there is no status.
func (s streams) entrance(w http.ResponseWriter, r *http.Request) (named, bool) {
	n := nameIn(r)
	if err := s.runner.CanEnter(n.namespace, n.pod, r.PathValue("uid"), n.container); err != nil {
		answer.Fail(w, statusOf(err), err)
		return n, false
	}
	return n, true
}

// containerName is the container that a path names; no container is called "-", which means the pod's only one.
func containerName(r *http.Request) string {
	if name := r.PathValue("container"); name != "-" {
		return name
	}
	return ""
}

var errNoCommand = errors.New("command is missing: name the program and its arguments, as in command=ls&command=-l")

func (s streams) exec(w http.ResponseWriter, r *http.Request) {
	command := r.URL.Query()["command"]
	if len(command) == 0 {
		answer.Fail(w, http.StatusBadRequest, errNoCommand)
		return
	}
	n, ok := s.entrance(w, r)
	if !ok {
		return
	}
	serve(w, r, func(ctx context.Context, st streaming.Streams) error {
		code, err := s.runner.Exec(ctx, n.namespace, n.pod, n.container, command, toExecIO(ctx, st))
		if err != nil && r.Context().Err() != nil {
			err = errDaemonEnds
		}
		if err == nil && code != 0 {
			err = streaming.ExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: int(code)}
		}
		return err
	})
}

func (s streams) attach(w http.ResponseWriter, r *http.Request) {
	n, ok := s.entrance(w, r)
	if !ok {
		return
	}
	serve(w, r, func(ctx context.Context, st streaming.Streams) error {
		err := s.runner.Attach(ctx, n.namespace, n.pod, n.container, toExecIO(ctx, st))
		if r.Context().Err() != nil { // it is cut off in the middle
			err = errDaemonEnds
		}
		return err
	})
}

// errDaemonEnds is how a session ends when the daemon does.
var errDaemonEnds = errors.New("the daemon ended the session, as it ends itself; the container runs on")

// serve runs a session; an error before it has begun is answered.
func serve(w http.ResponseWriter, r *http.Request, session streaming.Session) {
	begun := false
	err := streaming.Serve(w, r, func(ctx context.Context, st streaming.Streams) error {
		begun = true
		err := session(ctx, st)
		attempt.Of(r).Failed(err)
		return err
	})
	switch {
	case err == nil:
	case begun:
		slog.Debug("a session's client went away", "err", err)
	default:
		answer.Fail(w, http.StatusBadRequest, err)
	}
}

// toExecIO passes sizes on until there are no more, or ctx ends.
func toExecIO(ctx context.Context, st streaming.Streams) engine.ExecIO {
	sio := engine.ExecIO{Stdin: st.Stdin, Stdout: st.Stdout, Stderr: st.Stderr}
	if st.Sizes == nil {
		return sio
	}
	sizes := make(chan engine.Size)
	go func() {
		defer close(sizes)
		for {
			select {
			case size, ok := <-st.Sizes:
				if !ok {
					return
				}
				select {
				case sizes <- engine.Size(size):
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	sio.Sizes = sizes
	return sio
}

// run runs one command and answers with what it printed.
func (s streams) run(w http.ResponseWriter, r *http.Request) {
	command := splitCommand(r.URL.Query()["cmd"])
	if len(command) == 0 {
		answer.Fail(w, http.StatusBadRequest, errors.New("cmd is missing: name the program and its arguments, as in cmd=ls%20-l or cmd=ls&cmd=-l"))
		return
	}
	n, ok := s.entrance(w, r)
	if !ok {
		return
	}
	out := &session.Beginning{Most: maxRunOutput}
	code, err := s.runner.Exec(r.Context(), n.namespace, n.pod, n.container, command, engine.ExecIO{Stdout: out, Stderr: out})
	if err == nil && code != 0 {
		attempt.Of(r).Failed(fmt.Errorf("command terminated with exit code %d", code)) // what it printed is in no log
		err = fmt.Errorf("command terminated with exit code %d: %s", code, out.Kept)
	}
	if err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	answer.Text(w, string(out.Kept))
}

// splitCommand makes a command of what /run was given. A single cmd is split at each blank, as by the kubelet (pkg/kubelet/server,
// getRun), which looks at no other; several are program and arguments as they are.
func splitCommand(cmd []string) []string {
	if len(cmd) == 1 && cmd[0] != "" {
		return strings.Split(cmd[0], " ")
	}
	if len(cmd) > 1 {
		return cmd
	}
	return nil
}

// maxRunOutput bounds the memory that an answer of /run takes; the rest is dropped. Exec has no such limit.
const maxRunOutput = 4 << 20

func (s streams) portForward(w http.ResponseWriter, r *http.Request) {
	namespace, pod := r.PathValue("namespace"), r.PathValue("pod")
	if err := s.runner.CanReach(namespace, pod, r.PathValue("uid")); err != nil {
		answer.Fail(w, statusOf(err), err)
		return
	}
	err := streaming.ServeForward(w, r, pod, r.PathValue("uid"), func(ctx context.Context, port uint16, stream io.ReadWriteCloser) error {
		attempt.Of(r).Reached(strconv.Itoa(int(port)))
		conn, err := s.runner.Dial(ctx, namespace, pod, port)
		if err != nil {
			return err
		}
		both(conn, stream)
		return nil
	})
	if err != nil {
		answer.Fail(w, http.StatusBadRequest, err)
	}
}

// both copies in both directions until each side has said all, and closes both.
func both(a, b io.ReadWriteCloser) {
	var copying sync.WaitGroup
	for _, way := range [][2]io.ReadWriteCloser{{a, b}, {b, a}} {
		from, to := way[0], way[1]
		copying.Go(func() {
			_, err := io.Copy(to, from)
			if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
				half.CloseWrite() //nolint:errcheck // it may be closed
				return
			}
			to.Close() //nolint:errcheck // it may be closed
		})
	}
	copying.Wait()
	a.Close() //nolint:errcheck // it may be closed
	b.Close() //nolint:errcheck // it may be closed
}
