package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

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

func newVersion(g *global) *cobra.Command {
	var output string
	var client bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and that of the daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				api.Version
				Daemon *api.Version `json:"daemon,omitempty"`
			}{Version: buildVersion()}
			if !client {
				v.Daemon = daemonVersion(cmd.Context(), g.client())
			}
			switch output {
			case "json":
				return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			case "":
				fmt.Fprintf(cmd.OutOrStdout(), "solopod %s (commit %s, %s)\n", v.Version.Version, v.Commit, v.GoVersion)
				if d := v.Daemon; d != nil {
					fmt.Fprintf(cmd.OutOrStdout(), "daemon  %s (commit %s, %s), containerd %s\n", d.Version, d.Commit, d.GoVersion, d.Containerd)
				}
				return nil
			}
			return fmt.Errorf("-o takes json, not %q", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	cmd.Flags().BoolVar(&client, "client", false, "do not ask the daemon")
	return cmd
}

// daemonVersion is nil when no daemon answers: that is no error of this command.
func daemonVersion(ctx context.Context, c *api.Client) *api.Version {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	v, err := c.Version(ctx)
	if err != nil {
		return nil
	}
	return &v
}
