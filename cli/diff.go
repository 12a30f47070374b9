package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/desired"
	"github.com/solopod/solopod/cli/difference"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/manifests/source"
	"github.com/solopod/solopod/runner/foreign"
)

func newDiff(g *global) *cobra.Command {
	var file string
	var filenames []string
	var prune bool
	cmd := &cobra.Command{
		Use:   "diff FILE|DIR|-...",
		Short: "Compare manifests with what runs",
		Long: "Show how the objects of files differ from those that the daemon has taken from its manifests, with all defaults, and what of their pods\n" +
			"would begin anew. An edit that waits for what it needs differs from what runs, and it is said what it lacks. Values of Secrets are not shown, only whether they differ. Only admins may ask.\n\n" +
			"The exit code is 0 when nothing differs, 1 when something does, and 2 when a file is not valid or the daemon does not answer.",
		Example: "  solopod diff web.yaml && echo nothing to do\n  solopod diff --prune ./staging    # all of what runs should be there",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			differs, err := diff(cmd, g, file, append(args, filenames...), prune)
			if err != nil {
				return exitError{2, err}
			}
			if differs {
				return exitError{code: 1}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVarP(&filenames, "filename", "f", nil, "a file or directory, as kubectl has it")
	cmd.Flags().StringVar(&file, "config", "", "the daemon's configuration file, for what it allows")
	cmd.Flags().BoolVar(&prune, "prune", false, "show what runs and stands in none of the files as removed")
	return cmd
}

func diff(cmd *cobra.Command, g *global, config string, paths []string, prune bool) (differs bool, err error) {
	if len(paths) == 0 {
		return false, errors.New("name files or directories, or - for what comes from a pipe")
	}
	c, err := loadConfig(config, ofAnybody, cmd.Flags())
	if err != nil {
		return false, err
	}
	taken, err := policy.New(c.PodSecurity, c.Policy)
	if err != nil {
		return false, err
	}
	wanted, err := readWanted(cmd, paths, c.manifestOptions(taken))
	if err != nil {
		return false, err
	}
	salt := rand.Text()
	runs, err := api.Desired(cmd.Context(), g.client(), salt)
	if err != nil {
		return false, err
	}
	list, err := difference.Of(runs, desired.Of(&wanted, salt, nil), prune)
	for _, d := range list {
		title := visible.Line(d.Title())
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "--- running: %s\n+++ wanted: %s\n%s", title, title, visible.Text(d.Text)); err != nil {
			return true, err
		}
		for _, effect := range d.Effects {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "# %s\n", visible.Line(effect)); err != nil {
				return true, err
			}
		}
	}
	return len(list) > 0, err
}

// readWanted reads the objects of files. Problems are told; errors among them fail.
func readWanted(cmd *cobra.Command, paths []string, options decode.Options) (manifests.Snapshot, error) {
	set := manifests.NewSet(nil)
	for _, path := range paths {
		files, err := filesAt(path)
		if err != nil {
			return manifests.Snapshot{}, err
		}
		for _, file := range files {
			text, err := interruptible(cmd.Context(), func() ([]byte, error) { return readLimited(cmd.InOrStdin(), file) })
			if err != nil {
				return manifests.Snapshot{}, err
			}
			contents, problems := decode.Decode(file, text, options)
			set.Put(file, contents, problems, time.Time{})
		}
	}
	snapshot := set.Snapshot(time.Now())
	all := source.ProblemsOf(snapshot.Files)
	for _, p := range all {
		fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(p.Error()))
	}
	if n := len(all.Errors()); n > 0 {
		return snapshot, fmt.Errorf("the daemon would not take these files: errors: %d", n)
	}
	return snapshot, nil
}

// filesAt are a file, or the manifests of a directory.
func filesAt(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	return source.ManifestsIn(path)
}

// readLimited reads a file, or the input. Other pipes than that are not read: an open of theirs may wait for ever.
func readLimited(input io.Reader, path string) ([]byte, error) {
	if path != "-" {
		return foreign.ReadFollowing(path, decode.MaxFileSize)
	}
	return io.ReadAll(io.LimitReader(input, decode.MaxFileSize+1))
}
