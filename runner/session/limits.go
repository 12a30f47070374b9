package session

import (
	"context"
	"fmt"
	"time"

	"github.com/solopod/solopod/runner/rescue"
)

// What a session waits for, and how long. Everything else ends with the session's context: the command of an exec is killed then,
// and the input of an attach is let go of.
const (
	// lastWords is how long the log of a container that has ended is waited for to be complete, before what there is is read.
	lastWords = 10 * time.Second
	// completed is the same for who follows it: longer than an ended container may take to be examined, drained and deleted (package plan).
	completed = time.Minute
	// lookUp is for a question to a file system, which is local as a rule: whether there is a log.
	lookUp = 10 * time.Second
	// dialLimit is for a connection to a port of the pod; the other end is on this machine.
	dialLimit = 10 * time.Second
	// resizeLimit is for telling a terminal its size.
	resizeLimit = 5 * time.Second
	// checkpointLimit is for CRIU, which writes all memory of a container to the disk: 8 GiB at 15 MB/s. It goes on without
	// the client, because a container whose checkpoint is broken off may stay frozen.
	checkpointLimit = 10 * time.Minute
)

// within runs f in a goroutine of its own and waits for its end, or until ctx has ended or limit has passed: then f is left
// behind, and what it returns is dropped. f must not use anything of the caller's then, nor change it.
func within[T any](ctx context.Context, limit time.Duration, what string, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = rescue.Do(what, func() (err error) { a.value, err = f(); return err })
		answers <- a
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var none T
	select {
	case a := <-answers:
		return a.value, a.err
	case <-timer.C:
		return none, fmt.Errorf("%s took longer than %s", what, limit)
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
