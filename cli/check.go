package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/policy"
)

func newCheck() *cobra.Command {
	var output, file, keys string
	var warnUnknown bool
	cmd := &cobra.Command{
		Use:   "check [--config FILE] FILE|DIR...",
		Short: "Validate manifests without a daemon",
		Long: "Validate manifests the way the daemon does, without one: each problem is a line \"file:line:column: field: message\".\n" +
			"With --config the node's podSecurity and policy count as well. The exit code is 1 when anything is wrong. Warnings do not count.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(file, ofAnybody, cmd.Flags())
			if err != nil {
				return err
			}
			taken, err := policy.New(c.PodSecurity, c.Policy)
			if err != nil {
				return err
			}
			options := c.manifestOptions(taken)
			options.WarnUnknownFields = options.WarnUnknownFields || warnUnknown
			if keys != "" {
				c.ManifestKeyFile = keys
			}
			problems, err := c.check(args, options)
			if err != nil {
				return err
			}
			if err := printProblems(cmd.OutOrStdout(), output, problems); err != nil {
				return err
			}
			if len(problems.Errors()) > 0 {
				return exitError{code: 1}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	cmd.Flags().StringVar(&file, "config", "", "the daemon's configuration file, for what it allows")
	cmd.Flags().StringVar(&keys, "keys", "", "demand signatures by the public keys in this file (manifestKeyFile in the configuration)")
	cmd.Flags().BoolVar(&warnUnknown, "warn-unknown-fields", false, "only warn of fields that Kubernetes does not know")
	return cmd
}

func printProblems(w io.Writer, output string, problems manifests.Problems) error {
	switch output {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(append(manifests.Problems{}, problems...))
	case "":
		for _, p := range problems {
			if _, err := fmt.Fprintln(w, visible.Line(p.Error())); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("-o takes json, not %q", output)
}
