package streaming

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// Dial opens the connection that a client's streams go over.
type Dial func(ctx context.Context) (net.Conn, error)

// refusal is what the other side says against something.
type refusal struct {
	message string
	code    int
}

func (r refusal) Error() string { return r.message }

// ErrNotFound is what a refusal is where nothing was found.
var ErrNotFound = errors.New("not found")

func (r refusal) Is(target error) bool {
	return target == ErrNotFound && r.code == http.StatusNotFound
}

// Refusal reads an answer that says no, with Kubernetes' Status as its body.
func Refusal(resp *http.Response) error {
	var status metav1.Status
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || status.Message == "" {
		status.Message = "the daemon answers: " + resp.Status
	}
	return refusal{status.Message, resp.StatusCode}
}

// upgrade asks for streams and returns the connection that carries them. The caller must close it.
func upgrade(ctx context.Context, dial Dial, u *url.URL, protocol string) (httpstream.Connection, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it wakes up whoever waits
	streams, err := switchProtocols(conn, req)
	if err != nil {
		stop()
		return nil, errors.Join(err, conn.Close())
	}
	return streams, nil
}

func switchProtocols(conn net.Conn, req *http.Request) (httpstream.Connection, error) {
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	// The server says nothing more before the client opens a stream, so that nothing is lost in this buffer.
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, Refusal(resp)
	}
	return spdy.NewClientConnection(conn)
}

// Run carries the streams of exec or attach until the session is over. An ExitError tells the code of a command that failed.
func Run(ctx context.Context, dial Dial, u *url.URL, s Streams) error {
	q := u.Query()
	for name, wanted := range map[string]bool{
		remotecommand.ExecStdinParam: s.Stdin != nil, remotecommand.ExecStdoutParam: s.Stdout != nil,
		remotecommand.ExecStderrParam: s.Stderr != nil && s.Sizes == nil, remotecommand.ExecTTYParam: s.Sizes != nil,
	} {
		if wanted {
			q.Set(name, "1")
		}
	}
	u.RawQuery = q.Encode()
	conn, err := upgrade(ctx, dial, u, remotecommand.StreamProtocolV4Name)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the session is over
	open := func(kind string) (httpstream.Stream, error) {
		headers := http.Header{}
		headers.Set(v1.StreamType, kind)
		return conn.CreateStream(headers)
	}
	status, err := open(v1.StreamTypeError)
	if err != nil {
		return err
	}
	var output sync.WaitGroup
	if s.Stdin != nil {
		stream, err := open(v1.StreamTypeStdin)
		if err != nil {
			return err
		}
		go func() {
			io.Copy(stream, s.Stdin) //nolint:errcheck // the other side may end first
			stream.Close()           //nolint:errcheck // the end of the input
		}()
	}
	for kind, w := range map[string]io.Writer{v1.StreamTypeStdout: s.Stdout, v1.StreamTypeStderr: s.Stderr} {
		if w == nil || kind == v1.StreamTypeStderr && s.Sizes != nil {
			continue
		}
		stream, err := open(kind)
		if err != nil {
			return err
		}
		output.Go(func() { io.Copy(w, stream) }) //nolint:errcheck // the error channel tells
	}
	if s.Sizes != nil {
		stream, err := open(v1.StreamTypeResize)
		if err != nil {
			return err
		}
		go func() {
			for size := range s.Sizes {
				if json.NewEncoder(stream).Encode(size) != nil {
					return
				}
			}
		}()
	}
	result := readStatus(status)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	output.Wait()
	return result
}

// readStatus waits for the end of the session.
func readStatus(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("the daemon ended the session: %w", err)
	}
	var status metav1.Status
	switch {
	case json.Unmarshal(text, &status) != nil:
		return errors.New("the daemon ended the session")
	case status.Status == metav1.StatusSuccess:
		return nil
	case status.Reason == remotecommand.NonZeroExitCodeReason && status.Details != nil:
		for _, c := range status.Details.Causes {
			if code, err := strconv.Atoi(c.Message); err == nil && c.Type == remotecommand.ExitCodeCauseType {
				return ExitError{Err: errors.New(status.Message), Code: code}
			}
		}
	}
	return refusal{message: strings.TrimPrefix(status.Message, "Internal error occurred: error executing command in container: ")}
}

// Forwarder carries connections to ports. It is safe for concurrent use.
type Forwarder struct {
	conn httpstream.Connection
	mu   sync.Mutex
	next int
}

// NewForwarder opens the connection that the forwarded ones go over. The caller must Close it.
func NewForwarder(ctx context.Context, dial Dial, u *url.URL) (*Forwarder, error) {
	conn, err := upgrade(ctx, dial, u, portforward.ProtocolV1Name)
	if err != nil {
		return nil, err
	}
	return &Forwarder{conn: conn}, nil
}

// Close ends all forwarded connections.
func (f *Forwarder) Close() error { return f.conn.Close() }

// Lost is closed when the connection to the daemon is.
func (f *Forwarder) Lost() <-chan bool { return f.conn.CloseChan() }

// Forward carries one connection to a port, until both sides have said all; it closes it. An error is what the other side says
// of the port.
func (f *Forwarder) Forward(local io.ReadWriteCloser, port uint16) error {
	defer local.Close() //nolint:errcheck // everything was said
	f.mu.Lock()
	id := strconv.Itoa(f.next)
	f.next++
	f.mu.Unlock()
	open := func(kind string) (httpstream.Stream, error) {
		headers := http.Header{}
		headers.Set(v1.StreamType, kind)
		headers.Set(v1.PortHeader, strconv.Itoa(int(port)))
		headers.Set(v1.PortForwardRequestIDHeader, id)
		return f.conn.CreateStream(headers)
	}
	problem, err := open(v1.StreamTypeError)
	if err != nil {
		return err
	}
	problem.Close() //nolint:errcheck // nothing is written to it
	data, err := open(v1.StreamTypeData)
	if err != nil {
		return err
	}
	defer f.conn.RemoveStreams(problem, data)
	var answered sync.WaitGroup
	answered.Go(func() {
		io.Copy(local, data) //nolint:errcheck // whoever is left notices
		if half, ok := local.(interface{ CloseWrite() error }); ok {
			half.CloseWrite() //nolint:errcheck // it may be closed
		}
	})
	go func() {
		io.Copy(data, local) //nolint:errcheck // whoever is left notices
		data.Close()         //nolint:errcheck // the end of what the client says
	}()
	message, err := io.ReadAll(problem)
	if err == nil && len(message) > 0 {
		data.Reset() //nolint:errcheck // there is nobody on the other side
		return refusal{message: string(message)}
	}
	answered.Wait()
	return err
}
