package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/convert"
	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// waitImage is for init containers that wait for another service.
const waitImage = "docker.io/library/busybox:latest"

func newConvert() *cobra.Command {
	o := convert.Options{Lookup: os.LookupEnv}
	var output string
	cmd := &cobra.Command{
		Use:   "convert [-o FILE|DIR] FILE|DIR...",
		Short: "Make manifests of files for docker compose, podman and kompose",
		Long: "Make manifests of compose files, of what \"podman generate kube\" and kompose write, of files for \"podman kube play\", and of manifests of former\n" +
			"Kubernetes versions. Manifests go to standard output, or with -o to a file, or to a directory, one file for each object; what was changed and why, what could not\n" +
			"be kept, and what is left to do goes to standard error, a line each: \"file:line: changed: field: why\".\n\n" +
			"Several compose files are one project, the later ones over the earlier ones; of a directory its compose file is meant, with its override file. \"-\" is standard input.\n" +
			"The exit code is 1 when what was written is not all that it should be (\"error\" among the lines), and 2 when a file cannot be read.",
		Example: "  solopod convert compose.yaml >shop.yaml\n  solopod convert --profile debug -n shop -o manifests/ compose.yaml compose.prod.yaml\n  podman generate kube web | solopod convert - -o web.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Read, o.Kind = readForConvert(cmd.InOrStdin()), kindForConvert
			var err error
			if o.Files, err = composeFiles(args); err != nil {
				return exitError{code: 2, err: err}
			}
			result, err := interruptible(cmd.Context(), func() (*convert.Result, error) { return convert.Convert(o) })
			if errors.As(err, &exitError{}) {
				return err
			}
			if err != nil {
				return exitError{code: 2, err: err}
			}
			for _, n := range result.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(n.String()))
			}
			if err := writeConverted(cmd, output, result.Documents); err != nil {
				return exitError{code: 2, err: err}
			}
			if result.Failed {
				return exitError{code: 1}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "write to this file, or below this directory, instead of standard output")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "the namespace of objects that have none")
	f.StringSliceVar(&o.Profiles, "profile", nil, "compose profiles that are wanted; * are all")
	f.StringSliceVar(&o.EnvFiles, "env-file", nil, "files of variables for compose files, instead of .env beside the first one")
	f.StringVar(&o.Project, "project-name", "", "the compose project's name, which images that are built are named after")
	f.StringVar(&o.WaitImage, "wait-image", waitImage, "image of init containers that wait for a service to be healthy; it needs sh and ping. Empty: nothing waits")
	return cmd
}

// readForConvert reads files that the user names, and those that they name.
func readForConvert(stdin io.Reader) func(path string) ([]byte, error) {
	var kept []byte
	return func(path string) ([]byte, error) {
		if path != "-" {
			return foreign.ReadFollowing(path, tree.MaxFile)
		}
		if kept == nil { // it is looked at more than once
			var err error
			if kept, err = io.ReadAll(io.LimitReader(stdin, tree.MaxFile+1)); err != nil {
				return nil, err
			}
		}
		return kept, nil
	}
}

func kindForConvert(path string) (fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// composeFiles finds the compose file of each directory, with its override file.
func composeFiles(args []string) (out []string, err error) {
	for _, arg := range args {
		if mode, err := kindForConvert(arg); arg == "-" || err != nil || !mode.IsDir() {
			out = append(out, arg)
			continue
		}
		found := false
		for _, name := range []string{"compose", "docker-compose"} {
			for _, ext := range []string{".yaml", ".yml"} {
				if _, err := os.Stat(filepath.Join(arg, name+ext)); err != nil || found {
					continue
				}
				found = true
				out = append(out, filepath.Join(arg, name+ext))
				for _, ext := range []string{".yaml", ".yml"} {
					if beside := filepath.Join(arg, name+".override"+ext); isThere(beside) {
						out = append(out, beside)
						break
					}
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no compose.yaml or docker-compose.yaml in %s; name the files", arg)
		}
	}
	return out, nil
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeConverted writes to the command's output, to a file, or below a directory. Files with Secrets are for root alone.
func writeConverted(cmd *cobra.Command, output string, docs []convert.Document) error {
	if output == "" {
		_, err := cmd.OutOrStdout().Write(convert.Join(docs))
		return err
	}
	mode := func(docs []convert.Document) os.FileMode {
		for _, d := range docs {
			if d.Secret() {
				return 0o600
			}
		}
		return 0o644
	}
	info, err := os.Stat(output)
	isDir := err == nil && info.IsDir()
	if !isDir && os.IsPathSeparator(output[len(output)-1]) {
		if err := os.MkdirAll(output, 0o755); err != nil {
			return err
		}
		isDir = true
	}
	if !isDir {
		return durable.Replace(output, convert.Join(docs), mode(docs))
	}
	written := map[string]bool{}
	for _, d := range docs {
		path := filepath.Join(output, d.FileName())
		if written[path] || isThere(path) {
			return fmt.Errorf("%s is there already; name an empty directory", path)
		}
		written[path] = true
		if err := durable.Replace(path, d.Text, mode([]convert.Document{d})); err != nil {
			return err
		}
	}
	return nil
}
