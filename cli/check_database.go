package cli

import (
	"github.com/spf13/cobra"

	"github.com/solopod/solopod/runner/engine/embedded"
)

// newCheckDatabase is not for people: the daemon runs it to look at a database that may be damaged.
func newCheckDatabase() *cobra.Command {
	return &cobra.Command{
		Use: embedded.CheckCommand + " FILE...", Hidden: true, Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return embedded.CheckDatabases(args) },
	}
}
