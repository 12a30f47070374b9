package fifo

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// blocked is a writer that nobody takes anything from.
type blocked struct{ release chan struct{} }

func (b blocked) Write(p []byte) (int, error) { <-b.release; return len(p), nil }

// The output of a process is delivered whole; who does not take it holds nobody up, and no FIFO stays.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	write := func(p *Pipes) {
		f, err := os.OpenFile(p.Stdout, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "all of it"); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	var out safe
	p, err := Open(filepath.Join(dir, "good"), Streams{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	write(p)
	if err := p.Finish(t.Context()); err != nil || out.String() != "all of it" {
		t.Errorf("%q, %v", out.String(), err)
	}
	var none *safe // as a sink whose code fails
	if p, err = Open(filepath.Join(dir, "panics"), Streams{Stdout: none, Stderr: none}); err != nil {
		t.Fatal(err)
	}
	write(p)
	if err := p.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	b := blocked{make(chan struct{})}
	if p, err = Open(filepath.Join(dir, "blocked"), Streams{Stdout: b, Stderr: b}); err != nil {
		t.Fatal(err)
	}
	write(p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody took the output: %v", err)
	}
	close(b.release)
	p.copying.Wait()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What a shim had no turn to copy when the process ended is waited for, however long that takes; a child of the process is not.
func TestSlowShim(t *testing.T) {
	var out safe
	var shim *os.File
	asked := 0
	p, err := Open(filepath.Join(t.TempDir(), "x"), Streams{Stdout: &out, Stderr: &out, Ask: func() {
		if asked++; asked > 2 { // a child holds it open
			return
		}
		if _, err := io.WriteString(shim, "more"); err != nil {
			t.Error(err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if shim, err = os.OpenFile(p.Stdout, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	defer shim.Close()
	if err := p.Finish(t.Context()); err != nil || out.String() != "moremore" || asked != 3 {
		t.Errorf("%q, %v, asked %d times", out.String(), err, asked)
	}
}

// The end of an input is the end of the process's; with a terminal the process is told of it as by a user, until it has ended.
func TestFeed(t *testing.T) {
	for name, c := range map[string]struct {
		terminal    bool
		input, want string
	}{
		"no terminal":        {false, "one\ntwo", "one\ntwo"},
		"nothing":            {true, "", "\x04\x04\x04"},
		"lines":              {true, "one\n", "one\n\x04\x04\x04"},
		"an unfinished line": {true, "one\ntwo", "one\ntwo\x04\x04\x04\x04"},
		"a key":              {true, "one\r", "one\r\x04\x04\x04"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Open(filepath.Join(t.TempDir(), "x"), Streams{Stdin: strings.NewReader(c.input), Terminal: c.terminal})
			if err != nil {
				t.Fatal(err)
			}
			shim, err := os.Open(p.Stdin)
			if err != nil {
				t.Fatal(err)
			}
			defer shim.Close()
			done := make(chan struct{})
			p.Feed(strings.NewReader(c.input), func() { close(done) })
			got := make([]byte, len(c.want))
			if n, err := io.ReadFull(shim, got); err != nil || string(got) != c.want {
				t.Errorf("%q, %v", got[:n], err)
			}
			if !c.terminal {
				<-done
			} else if err := p.Finish(t.Context()); err != nil { // before that there is no end
				t.Error(err)
			}
			if rest, err := io.ReadAll(shim); err != nil || strings.Trim(string(rest), "\x04") != "" {
				t.Errorf("then %q, %v", rest, err)
			}
			select {
			case <-done:
				if c.terminal {
					t.Error("the terminal is hung up")
				}
			default:
			}
			if err := p.Finish(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

type safe struct {
	mu   sync.Mutex
	text []byte
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}
