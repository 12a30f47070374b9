package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/doctor"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/aside"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/network/nft"
	"github.com/solopod/solopod/runner/rescue"
)

// Exit codes of doctor.
const (
	doctorMissing = 1
	doctorUnseen  = 2
)

func newDoctor() *cobra.Command {
	shown := defaults()
	var output, file string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether this machine has what Solopod needs",
		Long: "Look for what Solopod needs of this machine: an OCI runtime, cgroups and their controllers, overlayfs, nftables and so on, and say what\n" +
			"to do about what is missing. The daemon looks for the same when it starts. Nothing is changed; no daemon is needed.\n\n" +
			"The configuration is the file's: without --config " + auditConfig + ", if it exists; the flags are those of \"solopod run\".\n" +
			"The exit code is 0 when all is there that pods need, 1 when something is missing, 2 when it could not be looked. Warnings do not count.",
		Example: "  solopod doctor\n  solopod doctor --runtime crun\n  solopod doctor -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return exitError{doctorUnseen, err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return exitError{doctorUnseen, fmt.Errorf("-o takes json, not %q", output)}
			}
			if os.Geteuid() != 0 {
				return exitError{doctorUnseen, errors.New("only root can try everything: run the command as root")}
			}
			if _, err := os.Stat(auditConfig); file == "" && err == nil {
				file = auditConfig
			}
			c, err := loadConfig(file, ofAnybody, cmd.Flags())
			if err != nil {
				return exitError{doctorUnseen, err}
			}
			results := c.examine(cmd.Context())
			if err := printResults(cmd.OutOrStdout(), output, results); err != nil {
				return exitError{doctorUnseen, err}
			}
			if len(results.Missing()) > 0 {
				return exitError{code: doctorMissing}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{doctorUnseen, err} })
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	cmd.Flags().StringVar(&file, "config", "", "the daemon's configuration file")
	shown.register(cmd.Flags())
	return cmd
}

// examine looks for what is needed with this configuration.
func (c *config) examine(ctx context.Context) doctor.Results {
	looked := doctor.Config{
		Runtimes: []string{c.Runtime}, Root: c.Root, State: c.State, Logs: c.LogDir,
		CNIBinDirs: c.cniBinDirs(), CNIConfDir: c.CNIConfDir, SystemdCgroups: c.cgroupDriver() == cgroup.Systemd,
		Companions: map[string]string{},
	}
	for _, name := range slices.Sorted(maps.Values(c.RuntimeClasses)) {
		if !slices.Contains(looked.Runtimes, name) {
			looked.Runtimes = append(looked.Runtimes, name)
		}
	}
	if c.Containerd != embeddedContainerd {
		looked.Containerd = c.Containerd
	}
	for _, name := range companions {
		path, err := companion(name)
		if err != nil {
			path = ""
		}
		looked.Companions[name] = path
	}
	return doctor.Judge(doctor.Look(ctx, looked, doctor.Probe{
		Nftables: func() error {
			conn, err := nft.Dial()
			if err != nil {
				return err
			}
			_, err = conn.ListTables()
			return err
		},
		CNI: func() (string, []string, error) { return network.Configured(c.CNIConfDir) },
		AppArmor: func() (bool, string) {
			a := apparmor.New()
			return !errors.Is(a.Lacks(), apparmor.ErrUnused), a.Parser()
		},
	}))
}

// waitForPods is for how long pods have the machine to themselves at a start, before it is looked for what is missing.
const waitForPods = 5 * time.Second

// tellMissing looks for what is needed, once, when the first pods are up or cannot be, and tells what is missing.
func (c *config) tellMissing(ctx context.Context, r *runner.Runner) {
	select {
	case <-ctx.Done():
		return
	case <-r.Reconciled():
	case <-time.After(waitForPods):
	}
	results, err := examined(ctx, c.examine)
	if err != nil {
		slog.Debug("it was not looked for what Solopod needs", "err", err)
		return
	}
	for _, found := range results.Missing() {
		slog.Error("the machine lacks what pods need", "check", found.Check, "found", found.Found, "advice", found.Advice)
		r.Events().Node(v1.EventTypeWarning, "RequirementMissing", fmt.Sprintf("%s: %s; %s", found.Check, found.Found, found.Advice))
	}
	for _, found := range results.Warnings() {
		slog.Warn("the machine lacks something", "check", found.Check, "found", found.Found, "advice", found.Advice)
	}
}

// examined is what examine says before ctx ends. What it looks at may never answer, a directory of plugins on a disk that is gone: the end of
// the daemon does not wait for that.
func examined(ctx context.Context, examine func(context.Context) doctor.Results) (doctor.Results, error) {
	results, err := aside.Do(ctx, &aside.Places{}, "the machine", 0, func() (results doctor.Results, err error) {
		err = rescue.Do("look for what Solopod needs", func() error {
			results = examine(ctx)
			return nil
		})
		return results, err
	})
	if err == nil {
		err = ctx.Err() // what was not answered says nothing
	}
	return results, err
}

func printResults(w io.Writer, output string, results doctor.Results) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Results doctor.Results `json:"results"`
		}{results})
	}
	t := table{painted: 0, colour: verdictColour}
	for _, r := range results {
		t.rows = append(t.rows, []string{string(r.Verdict), r.Check, r.Found})
	}
	if err := t.write(w); err != nil {
		return err
	}
	said := "\nAll is there that pods need.\n"
	if n := len(results.Missing()); n > 0 {
		said = fmt.Sprintf("\n%d missing.\n", n)
	}
	for i, r := range slices.Concat(results.Missing(), results.Warnings()) {
		if i == 0 {
			said += "What to do:\n"
		}
		said += fmt.Sprintf("  %s: %s\n", r.Check, r.Advice)
	}
	_, err := io.WriteString(w, said)
	return err
}

// verdictColour is for what is there, and what is not.
func verdictColour(word string) string {
	return map[string]string{string(doctor.OK): green, string(doctor.Warning): yellow, string(doctor.Missing): red}[word]
}
