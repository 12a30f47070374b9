package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api"
)

// Set by the linker (see the Makefile).
var (
	version = "dev"
	commit  = "unknown"
)

func buildVersion() api.Version {
	return api.Version{Version: version, Commit: commit, GoVersion: runtime.Version()}
}

func newVersion(_ *global) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := buildVersion()
			switch output {
			case "json":
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			case "":
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "solopod %s (commit %s, %s)\n", v.Version, v.Commit, v.GoVersion)
				return err
			}
			return fmt.Errorf("-o takes json, not %q", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	return cmd
}
