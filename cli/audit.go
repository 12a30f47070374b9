package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/audit"
	"github.com/solopod/solopod/inspection"
)

// Exit codes of audit.
const (
	auditFound   = 1
	auditUnseen  = 2
	auditConfig  = "/etc/solopod/config.yaml"
	askForConfig = 5 * time.Second
)

func newAudit(g *global) *cobra.Command {
	var output, file string
	var ignored []string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look at this machine and say what to mend",
		Long: "Look at modes of files, listeners, tokens and certificates, policy, the OCI runtime, the kernel, and what pods may do, and say what\n" +
			"to mend. Nothing is changed.\n\n" +
			"The configuration is that of the daemon that runs, or the file's: without --config " + auditConfig + ", if it exists.\n" +
			"The exit code is 0 when nothing is to be mended, 1 when something of severity warning or worse is, 2 when it could not be looked.\n" +
			"Checks whose findings are known and accepted are left out by --ignore.",
		Args: func(cmd *cobra.Command, args []string) error { // a script must not take a slip for a finding
			if err := cobra.NoArgs(cmd, args); err != nil {
				return exitError{auditUnseen, err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkIgnored(ignored); err != nil {
				return exitError{auditUnseen, err}
			}
			if output != "" && output != "json" {
				return exitError{auditUnseen, fmt.Errorf("-o takes json, not %q", output)}
			}
			facts, err := g.look(cmd.Context(), file, cmd)
			if err != nil {
				return exitError{auditUnseen, err}
			}
			report := inspection.Judge(facts, ignored)
			if err := printReport(cmd.OutOrStdout(), output, report); err != nil {
				return exitError{auditUnseen, err}
			}
			if report.Bad() {
				return exitError{code: auditFound}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{auditUnseen, err} })
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	cmd.Flags().StringVar(&file, "config", "", "the daemon's configuration file; without it what the daemon says")
	cmd.Flags().StringSliceVar(&ignored, "ignore", nil, "checks to leave out, by their names in the column CHECK")
	return cmd
}

func checkIgnored(ignored []string) error {
	for _, id := range ignored {
		if ids := inspection.IDs(); !slices.Contains(ids, id) {
			return fmt.Errorf("there is no check %q; they are: %s", id, strings.Join(ids, ", "))
		}
	}
	return nil
}

// look gathers what is judged.
func (g *global) look(ctx context.Context, file string, cmd *cobra.Command) (*inspection.Facts, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can look at everything: run the command as root")
	}
	settings, file, unseen, err := g.settings(ctx, file, cmd)
	if err != nil {
		return nil, err
	}
	facts := inspection.Look(ctx, settings, file, ownPrograms())
	if len(unseen) == 0 {
		asking, cancel := context.WithTimeout(ctx, askForConfig)
		defer cancel()
		if facts.Pods, err = g.client().Pods(asking); err != nil {
			unseen = append(unseen, "pods: "+err.Error())
		}
	}
	facts.Unseen = append(unseen, facts.Unseen...)
	return facts, nil
}

// settings are those of the daemon, or of the file; unseen says that the daemon does not answer. file is the one that was read, or
// that is there.
func (g *global) settings(ctx context.Context, file string, cmd *cobra.Command) (s inspection.Settings, read string, unseen []string, err error) {
	if read = file; file == "" {
		if _, err := os.Stat(auditConfig); err == nil {
			read = auditConfig
		}
	}
	asking, cancel := context.WithTimeout(ctx, askForConfig)
	defer cancel()
	s, err = api.ConfigOf(asking, g.client())
	if err != nil {
		unseen = []string{"pods: " + err.Error()}
	}
	if err != nil || file != "" {
		c, err := loadConfig(read, ofAnybody, cmd.Flags())
		if err != nil {
			return nil, read, nil, err
		}
		data, err := json.Marshal(c)
		if err != nil {
			return nil, read, nil, err
		}
		s = nil
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, read, nil, err
		}
	}
	return s, read, unseen, nil
}

// ownPrograms are this one and those that lie beside it.
func ownPrograms() (out []string) {
	if self, err := os.Executable(); err == nil {
		out = append(out, self)
	}
	for _, name := range companions {
		if path, err := companion(name); err == nil {
			out = append(out, path)
		}
	}
	return out
}

// maxShown bounds what is shown of a subject: pods name what they like.
const maxShown = 300

func printReport(w io.Writer, output string, r inspection.Report) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	t := table{header: []string{"SEVERITY", "CHECK", "FOUND"}}
	last := ""
	for _, f := range r.Findings {
		if f.ID != last {
			t.rows = append(t.rows, []string{string(f.Severity), f.ID, f.Title})
		}
		if f.Subject != "" {
			t.rows = append(t.rows, []string{"", "", "  " + audit.Printable(f.Subject, maxShown)})
		}
		last = f.ID
	}
	return writeReport(w, t, r)
}

// writeReport writes the table, what to do about each finding, and what was not looked at.
func writeReport(w io.Writer, t table, r inspection.Report) error {
	var b strings.Builder
	if len(r.Findings) == 0 {
		b.WriteString("Nothing to mend was found.\n")
	} else if err := t.writePlain(&b); err != nil {
		return err
	}
	last := ""
	for _, f := range r.Findings {
		if last == "" {
			b.WriteString("\nWhat to do:\n")
		}
		if f.ID != last {
			fmt.Fprintf(&b, "  %s: %s\n", f.ID, f.Advice)
		}
		last = f.ID
	}
	for i, what := range r.Unseen {
		if i == 0 {
			b.WriteString("\nNot looked at:\n")
		}
		fmt.Fprintf(&b, "  %s\n", audit.Printable(what, maxShown))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
