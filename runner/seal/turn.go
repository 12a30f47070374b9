package seal

import (
	"errors"
	"time"
)

// patience is how long one waits for what another does in the store, which lies in memory.
const patience = 10 * time.Second

// turn is taken by one at a time.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, but not for somebody who does not come back. Who has it must call give.
func (t turn) take() (give func(), err error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-limit.C:
		return nil, errors.New("what is done with the key to the values of Secrets does not end: does the file system of the state directory answer?")
	}
}
