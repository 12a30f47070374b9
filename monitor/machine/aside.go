package machine

import (
	"time"

	"github.com/solopod/solopod/runner/rescue"
)

// asideLimit is how long a scrape waits for a file system, which is a local one as a rule.
const asideLimit = 500 * time.Millisecond

// aside asks a question that may not be answered, in a goroutine of its own. While one waits no other is begun: what does not
// answer costs one scrape asideLimit, and later ones nothing. It belongs to one scrape at a time.
type aside[T any] struct{ answers chan T }

// ask returns the answer, or false when there is none in time. question must not use what belongs to the scrape.
func (a *aside[T]) ask(question func() T) (answer T, answered bool) {
	if a.answers != nil {
		select {
		case <-a.answers: // to an earlier question, and old by now
		default:
			return answer, false
		}
	}
	answers := make(chan T, 1)
	a.answers = answers
	go func() {
		defer close(answers)                                                                            // without an answer, when the question's code has failed
		rescue.Do("ask a file system for a scrape", func() error { answers <- question(); return nil }) //nolint:errcheck // it is logged
	}()
	timer := time.NewTimer(asideLimit)
	defer timer.Stop()
	select {
	case answer, answered = <-answers:
		a.answers = nil
		return answer, answered
	case <-timer.C:
		return answer, false
	}
}
