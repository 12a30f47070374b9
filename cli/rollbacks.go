package cli

import (
	"github.com/solopod/solopod/manifests/rollback"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/workload/history"
)

// rollbacks says when versions that do not become ready give way to those before.
func rollbacks(c *config, r *runner.Runner) history.Settings {
	return history.Settings{After: c.RollbackAfter.Duration, Count: r.Telemetry().RolledBack}
}

func validateRollbacks(c *config, add func(key string, err error)) {
	if err := rollback.Check(c.RollbackAfter.Duration); err != nil {
		add("rollbackAfter", err)
	}
}
