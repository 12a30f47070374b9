package streaming

import (
	"context"
	"testing"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// A client of an old protocol has a terminal, and tells no sizes: who waits for them learns that there are none.
func TestTerminalWithoutSizes(t *testing.T) {
	t.Parallel()
	ran := false
	a := sessionAdapter{o: &remotecommand.Options{TTY: true}, session: func(_ context.Context, s Streams) error {
		ran = true
		if s.Sizes == nil {
			t.Fatal("there is no terminal")
		}
		select {
		case size, ok := <-s.Sizes:
			if ok {
				t.Errorf("a size came from nowhere: %v", size)
			}
		default:
			t.Error("sizes are waited for for ever")
		}
		return nil
	}}
	if err := a.ExecInContainer(t.Context(), "", "", "", nil, nil, nil, nil, true, nil, 0); err != nil || !ran {
		t.Error(ran, err)
	}
}
