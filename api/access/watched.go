package access

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/rescue"
)

// lookLimit is how long a request waits for files, which are local ones as a rule. Only one request does, of those that come while a look
// at the files hangs.
const lookLimit = 2 * time.Second

// errUnanswered stands before the first answer.
var errUnanswered = errors.New("its file system does not answer")

// watched is what was read of files, which are read again when they change. Nobody waits long for their file system: while that does not
// answer, what was read last counts.
type watched[T any] struct {
	what string // for the log
	// look tells, by another value, that there is something new; load reads it. With keep what was read before stays when one of them fails.
	look func() (string, error)
	load func() (T, error)
	keep bool
	// turn is taken by who looks at the files; seen is that one's.
	turn chan struct{}
	seen string

	mu sync.Mutex
	// value, or err, is what was found last.
	value T
	err   error
	hung  bool // a look at the files has taken longer than lookLimit, and goes on
}

// current is what the files hold now, or what they held when they last answered.
func (w *watched[T]) current() (T, error) {
	limit := time.NewTimer(lookLimit)
	defer limit.Stop()
	looked := make(chan struct{})
	if !w.isHung() {
		select {
		case w.turn <- struct{}{}:
			go func() { // left behind when it hangs: no more than one
				w.refresh(looked)
				<-w.turn
			}()
			select {
			case <-looked:
			case <-limit.C:
				w.leave(looked)
			}
		case <-limit.C:
		}
	}
	return w.last()
}

// last is what was found last.
func (w *watched[T]) last() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.value, w.err
}

func (w *watched[T]) isHung() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hung
}

// leave notes that a look at the files hangs, unless it has ended in this moment.
func (w *watched[T]) leave(looked <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-looked:
	default:
		w.hung = true
	}
}

// refresh reads the files when they are others than before, and closes looked.
func (w *watched[T]) refresh(looked chan<- struct{}) {
	value, before := w.last()                            // written here alone
	err := rescue.Do("a look at "+w.what, func() error { // who has made the files is not who may end the daemon
		seen, err := w.look()
		if err != nil {
			w.seen = ""
			return err
		}
		if before == nil && seen == w.seen {
			return nil
		}
		w.seen = seen
		read, err := w.load()
		if err == nil {
			value = read
		}
		return err
	})
	if err != nil && !w.keep {
		var none T
		value = none
	}
	w.tell(before, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.value, w.err, w.hung = value, err, false
	close(looked)
}

// tell writes down what has gone wrong, once.
func (w *watched[T]) tell(before, now error) {
	switch {
	case now == nil && errors.Is(before, errUnanswered):
	case now == nil && before != nil:
		slog.Info("read again", "what", w.what)
	case now == nil || before != nil && before.Error() == now.Error():
	case w.keep:
		slog.Error("what was read before is used on", "what", w.what, "err", now)
	default:
		slog.Error("nobody is let in by them", "what", w.what, "err", now)
	}
}
