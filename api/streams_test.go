package api

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/solopod/solopod/api/streaming"
	"github.com/solopod/solopod/runner/engine"
)

// Sizes of a terminal are passed on until there are no more, or the session ends: synctest fails when a goroutine is left.
func TestSizes(t *testing.T) {
	t.Parallel()
	ends := map[string]func(sizes chan remotecommand.TerminalSize, cancel func()){
		"no more": func(sizes chan remotecommand.TerminalSize, _ func()) { close(sizes) },
		"session": func(_ chan remotecommand.TerminalSize, cancel func()) { cancel() },
		"session with a size that nobody takes": func(sizes chan remotecommand.TerminalSize, cancel func()) {
			sizes <- remotecommand.TerminalSize{Width: 1, Height: 1}
			synctest.Wait()
			cancel()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				sizes := make(chan remotecommand.TerminalSize)
				sio := toExecIO(ctx, streaming.Streams{Sizes: sizes})
				sizes <- remotecommand.TerminalSize{Width: 80, Height: 25}
				if got := <-sio.Sizes; got != (engine.Size{Width: 80, Height: 25}) {
					t.Errorf("%+v", got)
				}
				end(sizes, cancel)
				synctest.Wait()
				if _, more := <-sio.Sizes; more {
					t.Error("there are more sizes")
				}
			})
		})
	}
	if sio := toExecIO(t.Context(), streaming.Streams{}); sio.Sizes != nil {
		t.Error("there is a terminal")
	}
}

// A single cmd of /run is split at blanks, several are not.
func TestSplitCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"ls"}, []string{"ls"}},
		{[]string{"/bin/busybox echo hi"}, []string{"/bin/busybox", "echo", "hi"}},
		{[]string{"echo a  b"}, []string{"echo", "a", "", "b"}},
		{[]string{"echo 'a b'"}, []string{"echo", "'a", "b'"}},
		{[]string{"echo a\tb"}, []string{"echo", "a\tb"}},
		{[]string{"echo", "a b"}, []string{"echo", "a b"}},
		{[]string{"/my programs/x", ""}, []string{"/my programs/x", ""}},
	} {
		if got := splitCommand(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
