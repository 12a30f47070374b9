package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/manifests/source"
)

// Exit codes of check.
const (
	checkWrong  = 1
	checkUnseen = 2
)

// checking is what the check command was asked for.
type checking struct {
	output, config, keys         string
	warnUnknown, warnPermissions bool
}

func newCheck() *cobra.Command {
	var asked checking
	cmd := &cobra.Command{
		Use:   "check [--config FILE] FILE|DIR|-...",
		Short: "Validate manifests without a daemon",
		Long: "Validate manifests the way the daemon does, without one: each problem is a line \"file:line:column: field: message\". Of a directory\n" +
			"the files count that the daemon would read, as if it were the manifests directory; - is the standard input.\n" +
			"With --config the node's podSecurity and policy count as well. Warnings do not keep a file from being used.\n\n" +
			"The exit code is 0 when all is taken, 1 when something is wrong, and 2 when it could not be looked: a wrong flag, a file that is not there.",
		Example: "  solopod check web.yaml\n" +
			"  solopod check --config /etc/solopod/config.yaml /etc/solopod/manifests\n" +
			"  helm template web ./chart | solopod check -\n" +
			"  solopod check --warn-permissions -o sarif deploy/ > solopod.sarif",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MinimumNArgs(1)(cmd, args); err != nil {
				return exitError{checkUnseen, fmt.Errorf("name files or directories of manifests to check, or - for the standard input")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := checkFormats[asked.output]
			if !ok {
				return exitError{checkUnseen, fmt.Errorf("-o takes json, sarif or github, not %q", asked.output)}
			}
			problems, err := interruptible(cmd.Context(), func() (manifests.Problems, error) { return asked.problems(cmd, args) })
			if err == nil {
				err = write(cmd.OutOrStdout(), problems)
			}
			if errors.As(err, &exitError{}) {
				return err
			}
			if err != nil {
				return exitError{checkUnseen, err}
			}
			if len(problems.Errors()) > 0 {
				return exitError{code: checkWrong}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{checkUnseen, err} })
	cmd.Flags().StringVarP(&asked.output, "output", "o", "", "json, sarif (2.1.0, for code scanning) or github (annotations of a workflow)")
	cmd.Flags().StringVar(&asked.config, "config", "", "the daemon's configuration file, for what it allows")
	cmd.Flags().StringVar(&asked.keys, "keys", "", "demand signatures by the public keys in this file (manifestKeyFile in the configuration)")
	cmd.Flags().BoolVar(&asked.warnUnknown, "warn-unknown-fields", false, "only warn of fields that Kubernetes does not know, and of keys that stand twice")
	cmd.Flags().BoolVar(&asked.warnPermissions, "warn-permissions", false, "only warn of who can write files and read their Secrets: for a checkout, whose modes are not those on the machine")
	return cmd
}

// problems finds what a daemon with the configuration would say.
func (a *checking) problems(cmd *cobra.Command, paths []string) (manifests.Problems, error) {
	c, err := loadConfig(a.config, ofAnybody, cmd.Flags())
	if err != nil {
		return nil, err
	}
	taken, err := policy.New(c.PodSecurity, c.Policy)
	if err != nil {
		return nil, err
	}
	by := source.Checking{Decode: c.manifestOptions(taken), Dir: c.Manifests, WarnPermissions: a.warnPermissions, Input: cmd.InOrStdin()}
	by.Decode.WarnUnknownFields = by.Decode.WarnUnknownFields || a.warnUnknown
	if a.keys != "" {
		c.ManifestKeyFile = a.keys
	}
	if c.ManifestKeyFile != "" {
		signing := c.signing()
		by.Signing = &signing
	}
	return source.Check(paths, by)
}

// checkFormats write problems, by what -o says.
var checkFormats = map[string]func(io.Writer, manifests.Problems) error{"": writeLines, "json": writeJSON, "sarif": writeSARIF, "github": writeGitHub}

func writeLines(w io.Writer, problems manifests.Problems) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, visible.Line(p.Error())); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w io.Writer, problems manifests.Problems) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(append(manifests.Problems{}, problems...))
}
