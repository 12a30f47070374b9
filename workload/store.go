package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/solopod/solopod/runner/durable"
)

// state is what pods do not tell.
type state struct {
	Jobs map[string]*jobState  `json:"jobs,omitempty"` // by namespace/name
	Cron map[string]*CronState `json:"cron,omitempty"`
}

// jobState is kept of a Job that has ended.
type jobState struct {
	Revision  string  `json:"revision"`
	Outcome   Outcome `json:"outcome"`
	Succeeded int     `json:"succeeded,omitempty"`
	Failed    int     `json:"failed,omitempty"`
	// Message says why it has failed.
	Message    string    `json:"message,omitempty"`
	FinishedAt time.Time `json:"finishedAt"`
}

// store keeps the state in a file, which is written when it has changed.
type store struct {
	path string
	last []byte
}

// load reads the state. A damaged file is set aside: Jobs are then known by their pods, and CronJobs begin now.
func (s *store) load() (state, error) {
	out := state{}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return out, fmt.Errorf("cannot read what Jobs have done: %w", err)
	default:
		if err := json.Unmarshal(data, &out); err != nil {
			slog.Error("the record of Jobs is damaged and set aside", "file", s.path+".damaged", "err", err)
			out = state{}
			if err := os.Rename(s.path, s.path+".damaged"); err != nil {
				return out, fmt.Errorf("cannot set the damaged record of Jobs aside: %w", err)
			}
		}
	}
	if out.Jobs == nil {
		out.Jobs = map[string]*jobState{}
	}
	if out.Cron == nil {
		out.Cron = map[string]*CronState{}
	}
	return out, nil
}

func (s *store) save(st state) error {
	if len(st.Jobs)+len(st.Cron) == 0 && s.last == nil {
		return nil
	}
	data, err := json.Marshal(st)
	if err != nil || bytes.Equal(data, s.last) {
		return err
	}
	if err := durable.WriteFile(s.path, data, 0o600); err != nil {
		return err
	}
	s.last = data
	return nil
}
