package cli

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/solopod/solopod/doctor"
	"github.com/solopod/solopod/runner/rescue"
)

// The end of the daemon does not wait for a look at the machine that hangs, and a look that panics ends nothing else.
func TestExamined(t *testing.T) {
	found := doctor.Results{{Check: "runtime", Verdict: doctor.Missing}}
	if got, err := examined(t.Context(), func(context.Context) doctor.Results { return found }); err != nil || len(got.Missing()) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := examined(t.Context(), func(context.Context) doctor.Results { panic("a bug") }); !errors.Is(err, rescue.ErrPanicked) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		disk := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			_, err := examined(ctx, func(context.Context) doctor.Results {
				<-disk
				return found
			})
			ended <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		close(disk)
	})
}
