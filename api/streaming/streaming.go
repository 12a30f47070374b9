// Package streaming serves and opens the streams of exec, attach and port-forward in the kubelet's forms: SPDY, and WebSockets
// with the channel protocols up to v5.channel.k8s.io. It knows nothing of pods: what is done with the streams is the caller's.
package streaming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"

	"github.com/solopod/solopod/runner/rescue"
)

// Streams are a user's. A nil field was not asked for.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Sizes are those of the user's terminal; nil means that there is none. It is closed with the session.
	Sizes <-chan remotecommand.TerminalSize
}

// ExitError says that a command has ended with another code than 0; the user is told the code.
type ExitError = utilexec.CodeExitError

// Session does something with the streams until it is over. An ExitError, and any other error, reach the user. ctx ends when the
// user's connection does.
type Session func(ctx context.Context, s Streams) error

// idleTimeout is how long a connection may be silent, as the kubelet's streamingConnectionIdleTimeout.
const idleTimeout = 4 * time.Hour

// creationTimeout is how long a client may take to open its streams, and what is done for one that is gone may take to end. Tests have no
// such time.
var creationTimeout = 30 * time.Second

// Serve answers a request for exec or attach. Which streams are wanted is in its query, in the kubelet's form: input=1,
// output=1, error=1, tty=1.
func Serve(w http.ResponseWriter, r *http.Request, session Session) error {
	o, err := remotecommand.NewOptions(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	r, w = r.WithContext(ctx), watcher{w, cancel}
	if wsstream.IsWebSocketRequest(r) {
		return serveWebSocket(w, r, o, session)
	}
	adapter := sessionAdapter{session, o}
	ended := make(chan error, 1)
	go func() { // left behind when it hangs
		ended <- rescue.Do("serve a session", func() error {
			remotecommand.ServeExec(w, r, adapter, "", "", "", nil, o, idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
			return nil
		})
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	// SPDY's library waits for ever to write to a stream whose client has gone before the stream was replied to.
	limit := time.NewTimer(creationTimeout)
	defer limit.Stop()
	select {
	case err := <-ended:
		return err
	case <-limit.C:
		slog.Debug("a session is left behind: its client went away while it began")
		return nil
	}
}

// sessionAdapter lets the library, which knows an executor by names, run a session.
type sessionAdapter struct {
	session Session
	o       *remotecommand.Options
}

// ExecInContainer implements remotecommand.Executor.
func (a sessionAdapter) ExecInContainer(ctx context.Context, _, _, _ string, _ []string, in io.Reader, out, errOut io.WriteCloser, tty bool,
	sizes <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	// What was not asked for comes as a nil pointer in an interface.
	s := Streams{}
	if a.o.Stdin {
		s.Stdin = in
	}
	if a.o.Stdout {
		s.Stdout = out
	}
	if a.o.Stderr {
		s.Stderr = errOut
	}
	if tty {
		if s.Sizes = sizes; sizes == nil { // an old protocol has none
			none := make(chan remotecommand.TerminalSize)
			close(none)
			s.Sizes = none
		}
	}
	return a.session(ctx, s)
}

// The channels of exec and attach; after them comes the number that closes one, in protocol v5.
const (
	channelStdin = iota
	channelStdout
	channelStderr
	channelError
	channelSize
)

// The protocols that answer with a Status object at the end are v4 and v5; base64 is a variant for clients that know no bytes.
const (
	protocolV5       = "v5." + wsstream.ChannelWebSocketProtocol
	protocolV4       = "v4." + wsstream.ChannelWebSocketProtocol
	protocolV4Base64 = "v4." + wsstream.Base64ChannelWebSocketProtocol
)

func serveWebSocket(w http.ResponseWriter, r *http.Request, o *remotecommand.Options, session Session) error {
	channel := func(wanted bool, kind wsstream.ChannelType) wsstream.ChannelType {
		if wanted {
			return kind
		}
		return wsstream.IgnoreChannel
	}
	channels := []wsstream.ChannelType{
		channelStdin: channel(o.Stdin, wsstream.ReadChannel), channelStdout: channel(o.Stdout, wsstream.WriteChannel),
		channelStderr: channel(o.Stderr, wsstream.WriteChannel), channelError: wsstream.WriteChannel, channelSize: channel(o.TTY, wsstream.ReadChannel),
	}
	protocols := map[string]wsstream.ChannelProtocolConfig{}
	for _, name := range []string{"", wsstream.ChannelWebSocketProtocol, wsstream.Base64ChannelWebSocketProtocol, protocolV4, protocolV4Base64, protocolV5} {
		binary := name != wsstream.Base64ChannelWebSocketProtocol && name != protocolV4Base64
		protocols[name] = wsstream.ChannelProtocolConfig{Binary: binary, Channels: channels}
	}
	conn := wsstream.NewConn(protocols)
	conn.SetIdleTimeout(idleTimeout)
	protocol, streams, err := conn.Open(w, r)
	if err != nil {
		return fmt.Errorf("cannot open a WebSocket: %w", err)
	}
	defer conn.Close() //nolint:errcheck // the session is over
	if o.Stdout {
		streams[channelStdout].Write(nil) //nolint:errcheck // it tells the client that the connection stands
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // and with it the reading of sizes
	s := Streams{}
	if o.Stdin {
		s.Stdin = streams[channelStdin]
	}
	if o.Stdout {
		s.Stdout = streams[channelStdout]
	}
	if o.Stderr {
		s.Stderr = streams[channelStderr]
	}
	sizes := make(chan remotecommand.TerminalSize)
	if o.TTY {
		s.Sizes = sizes
	}
	go func() {
		defer close(sizes)
		readSizes(ctx, streams[channelSize], sizes)
	}()
	err = session(ctx, s)
	status := statusOf(err)
	if protocol == protocolV4 || protocol == protocolV4Base64 || protocol == protocolV5 {
		return json.NewEncoder(streams[channelError]).Encode(status)
	}
	_, err = io.WriteString(streams[channelError], status.Message)
	return err
}

// readSizes passes sizes on until the connection or the session ends.
func readSizes(ctx context.Context, r io.Reader, sizes chan<- remotecommand.TerminalSize) {
	for d := json.NewDecoder(r); ; {
		var s remotecommand.TerminalSize
		if d.Decode(&s) != nil {
			return
		}
		select {
		case sizes <- s:
		case <-ctx.Done():
			return
		}
	}
}

// statusOf is what the error channel carries at the end.
func statusOf(err error) metav1.Status {
	if err == nil {
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
	var exit ExitError
	if errors.As(err, &exit) {
		status.Code, status.Reason = 0, remotecommand.NonZeroExitCodeReason
		status.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: remotecommand.ExitCodeCauseType, Message: fmt.Sprint(exit.Code)}}}
	}
	return status
}

// Forward connects a user's stream with a port.
type Forward func(ctx context.Context, port uint16, stream io.ReadWriteCloser) error

// PortForward implements portforward.PortForwarder.
func (f Forward) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	return f(ctx, uint16(port), stream)
}

// ServeForward answers a request for port-forward: many streams, each to a port. pod and uid are for messages.
func ServeForward(w http.ResponseWriter, r *http.Request, pod, uid string, f Forward) error {
	o, err := portforward.NewV4Options(r)
	if err != nil {
		return err
	}
	portforward.ServePortForward(w, r, f, pod, uid, o, idleTimeout, creationTimeout, portforward.SupportedProtocols)
	return nil
}
