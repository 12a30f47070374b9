package streaming

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"
)

func init() {
	creationTimeout = 50 * time.Millisecond
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // of what clients do wrong
}

// oneConn is a listener that has one connection to give.
type oneConn struct {
	next chan net.Conn
	end  chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.end:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.end) })
	return nil
}

func (*oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// server answers on a pipe: exec says what it hears, port-forward too. ended is closed when the request is over.
func server(t testing.TB) (client net.Conn, ended <-chan struct{}, stop func()) {
	client, other := net.Pipe()
	l := &oneConn{next: make(chan net.Conn, 1), end: make(chan struct{})}
	l.next <- other
	over := make(chan struct{})
	var once sync.Once
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer once.Do(func() { close(over) })
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("it panics: %v", p)
			}
		}()
		var err error
		if r.URL.Path == "/exec" {
			err = Serve(w, r, echo)
		} else {
			err = ServeForward(w, r, "pod", "uid", func(_ context.Context, _ uint16, stream io.ReadWriteCloser) error {
				io.Copy(stream, stream) //nolint:errcheck // the client may go
				return stream.Close()
			})
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.Serve(l) //nolint:errcheck // until the end
	}()
	return client, over, func() {
		srv.Close()
		<-served
	}
}

// echo is a session that says what it hears, and what sizes its terminal has.
func echo(ctx context.Context, s Streams) error {
	var work sync.WaitGroup
	defer work.Wait()
	if s.Sizes != nil {
		work.Go(func() {
			for {
				select {
				case _, more := <-s.Sizes:
					if !more {
						return
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	if s.Stdin != nil && s.Stdout != nil {
		if _, err := io.Copy(s.Stdout, s.Stdin); err != nil {
			return err
		}
	}
	return ExitError{Err: errors.New("it has ended"), Code: 3}
}

const (
	webSocket = " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	spdyHead  = " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
)

// heads begin sessions of each kind; frames follow.
var heads = []string{
	"POST /exec?input=1&output=1&error=1" + spdyHead + "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
	"POST /exec?input=1&output=1&tty=1" + spdyHead + "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
	"POST /forward" + spdyHead + "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n",
	"GET /exec?input=1&output=1&error=1" + webSocket + "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
	"GET /exec?input=1&output=1&tty=1" + webSocket + "Sec-WebSocket-Protocol: v4.base64.channel.k8s.io\r\n\r\n",
	"GET /exec?input=1&output=1" + webSocket + "Sec-WebSocket-Protocol: channel.k8s.io\r\n\r\n",
	"GET /forward?port=80&port=81" + webSocket + "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n",
	"GET /forward?port=80" + webSocket + "\r\n",
}

// recorder keeps what a client sends.
type recorder struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.sent.Write(b)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

func (r *recorder) frames() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, frames, _ := bytes.Cut(r.sent.Bytes(), []byte("\r\n\r\n"))
	return bytes.Clone(frames)
}

// recorded is what Solopod's own client sends.
func recorded(t testing.TB, path string, use func(dial Dial, u *url.URL) error) []byte {
	t.Helper()
	client, ended, stop := server(t)
	r := &recorder{Conn: client}
	err := use(func(context.Context) (net.Conn, error) { return r, nil }, &url.URL{Scheme: "http", Host: "h", Path: path})
	var exit ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	client.Close()
	<-ended
	stop()
	return r.frames()
}

func frame(opcode byte, payload string) string {
	return string([]byte{opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

// seeds are the frames of whole sessions.
func seeds(t testing.TB) map[int][][]byte {
	// These sessions are whole ones, also on a machine that is busy.
	usual := creationTimeout
	creationTimeout = 30 * time.Second
	defer func() { creationTimeout = usual }()
	out := map[int][][]byte{}
	for i := range 2 {
		out[i] = append(out[i], recorded(t, "/exec", func(dial Dial, u *url.URL) error {
			return Run(context.Background(), dial, u, Streams{Stdin: bytes.NewReader([]byte("word\n")), Stdout: io.Discard, Stderr: io.Discard})
		}))
	}
	out[2] = append(out[2], recorded(t, "/forward", func(dial Dial, u *url.URL) error {
		f, err := NewForwarder(context.Background(), dial, u)
		if err != nil {
			return err
		}
		defer f.Close()
		near, far := net.Pipe()
		go func() {
			fmt.Fprint(far, "word")
			io.ReadFull(far, make([]byte, 4)) //nolint:errcheck // the frames count
			far.Close()
		}()
		return f.Forward(near, 80)
	}))
	for i := 3; i < len(heads); i++ {
		for _, frames := range []string{
			frame(0x82, "\x00word") + frame(0x82, "\x04{\"Width\":80,\"Height\":24}") + frame(0x82, "\xff\x00"), frame(0x81, "0d29yZA==") + frame(0x88, "\x03\xe8"),
			frame(0x89, "ping") + frame(0x02, "\x00a") + frame(0x80, "b"), frame(0x82, ""), "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", frame(0x82, "\x63none"),
		} {
			out[i] = append(out[i], []byte(frames))
		}
	}
	return out
}

// session sends frames behind a head, and waits for the end that the client's own brings about.
func session(t *testing.T, head string, frames []byte) {
	client, ended, stop := server(t)
	var read sync.WaitGroup
	read.Go(func() { io.Copy(io.Discard, client) }) //nolint:errcheck // until it is closed
	if err := client.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	client.Write([]byte(head)) //nolint:errcheck // the server may have enough
	client.Write(frames)       //nolint:errcheck // the server may have enough
	client.Close()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("it goes on without its client")
	}
	stop()
	read.Wait()
}

// Whatever a client sends for frames, nothing panics, and its session ends with it.
func FuzzFrames(f *testing.F) {
	for kind, list := range seeds(f) {
		for _, frames := range list {
			f.Add(uint8(kind), frames)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, frames []byte) {
		session(t, heads[int(kind)%len(heads)], frames)
	})
}

// The same for sessions of real clients, whole, cut off and damaged.
func TestFrames(t *testing.T) {
	for kind, list := range seeds(t) {
		for _, frames := range list {
			for _, cut := range []int{0, 1, len(frames) / 3, len(frames) / 2, len(frames) - 1, len(frames)} {
				for _, flip := range []int{-1, 0, 3, len(frames) / 2} {
					damaged := bytes.Clone(frames[:max(0, cut)])
					if flip >= 0 && flip < len(damaged) {
						damaged[flip] ^= 0x41
					}
					session(t, heads[kind], damaged)
				}
			}
		}
	}
}
