package aside

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var errOwn = errors.New("its own")

// Nobody waits for what hangs longer than a limit, or than its client; what is left behind is bounded, and all is well once it has ended.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Places
		hang := make(chan struct{})
		ask := func(ctx context.Context, place string, limit time.Duration) (took time.Duration, err error) {
			begun := time.Now()
			_, err = Do(ctx, &p, place, limit, func() (int, error) { <-hang; return 0, nil })
			return time.Since(begun), err
		}
		good := func(place string) error {
			n, err := Do(t.Context(), &p, place, 0, func() (int, error) { return 7, errOwn })
			if errors.Is(err, errOwn) && n == 7 {
				return nil
			}
			return err
		}
		if took, err := ask(t.Context(), "a", 10*time.Second); !errors.Is(err, ErrHangs) || took != 10*time.Second+moment {
			t.Errorf("%v after %s", err, took)
		}
		for range 1000 {
			if took, err := ask(t.Context(), "a", 10*time.Second); !errors.Is(err, ErrHangs) || took != 0 {
				t.Fatalf("again: %v after %s", err, took)
			}
		}
		if err := good("b"); err != nil {
			t.Errorf("elsewhere: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took, err := ask(ctx, "b", 0); !errors.Is(err, context.DeadlineExceeded) || took != time.Second+moment {
			t.Errorf("a client that goes: %v after %s", err, took)
		}
		for i := range most - 2 {
			if _, err := ask(t.Context(), fmt.Sprint(i), time.Second); !errors.Is(err, ErrHangs) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := good("c"); !errors.Is(err, ErrHangs) {
			t.Errorf("with much left behind: %v", err)
		}
		close(hang)
		synctest.Wait()
		for _, place := range []string{"a", "b", "c"} {
			if err := good(place); err != nil {
				t.Errorf("%s answers again: %v", place, err)
			}
		}
		if p.total != 0 || len(p.left) != 0 {
			t.Errorf("%d are left behind, %v", p.total, p.left)
		}
	})
}

// What heeds its cancellation soon is waited for, and keeps nobody else away.
func TestDoWaitsForWhatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Places
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Do(ctx, &p, "a", 0, func() (int, error) {
			time.Sleep(moment / 2) //nolint:forbidigo // virtual time
			return 0, errOwn
		})
		if !errors.Is(err, errOwn) || p.total != 0 {
			t.Errorf("%v, %d are left behind", err, p.total)
		}
	})
}
