package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/runner/archive"
	"github.com/solopod/solopod/runner/foreign"
)

// place is a path here, or with a pod one of a container: [NAMESPACE/]POD:PATH.
type place struct{ namespace, pod, path string }

func parsePlace(text, namespace string) place {
	pod, inside, ok := strings.Cut(text, ":")
	if !ok || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return place{path: text}
	}
	if ns, name, ok := strings.Cut(pod, "/"); ok {
		namespace, pod = ns, name
	}
	return place{namespace, pod, inside}
}

func newCp(g *global) *cobra.Command {
	var namespace, container string
	cmd := &cobra.Command{
		Use:   "cp FROM TO",
		Short: "Copy files into and out of containers",
		Long: "Copy a file or a directory from a container or into one; a place there is [NAMESPACE/]POD:PATH. The container needs no tar.\n" +
			"What its user may not read or write is not.",
		Example: "  solopod cp web:/etc/nginx ./nginx\n  solopod cp settings.json web:/srv/settings.json\n  solopod cp -c db far/store:/data/log .",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := parsePlace(args[0], namespace), parsePlace(args[1], namespace)
			switch {
			case (from.pod == "") == (to.pod == ""):
				return errors.New("one of the two must be in a container, as POD:PATH, and the other here")
			case from.path == "" || to.path == "":
				return errors.New("a path is missing after the colon")
			case from.pod != "":
				return copyOut(cmd.Context(), g.client(), from, container, to.path)
			}
			return copyIn(cmd.Context(), g.client(), from.path, to, container)
		},
		ValidArgsFunction: g.completeCopy(&namespace),
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.Flags().StringVarP(&container, "container", "c", "", "container; needed when the pod has several")
	return cmd
}

// copyOut makes what is in the container here: in a directory that exists, else under the name that is given.
func copyOut(ctx context.Context, c *api.Client, from place, container, to string) error {
	stream, err := c.ReadFiles(ctx, from.namespace, from.pod, container, from.path)
	if err != nil {
		return err
	}
	defer stream.Close() //nolint:errcheck // only read from
	dir, rename, err := target(to)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // the files were closed
	return archive.Extract(dir, stream, rename)
}

// target finds the directory here to write to, and the name that what is written gets there; empty means its own. A link at to is not
// followed: an earlier copy may have brought it from a container, which would choose where the files go.
func target(to string) (dir *foreign.Dir, rename string, err error) {
	to = filepath.Clean(to)
	found, err := foreign.Find(to)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err = foreign.OpenDir(filepath.Dir(to), foreign.Beneath)
		return dir, filepath.Base(to), err
	}
	if err != nil {
		return nil, "", err
	}
	switch kind, err := foreign.KindOf(found); {
	case err != nil:
		return nil, "", errors.Join(err, found.Close())
	case kind == foreign.Directory:
		dir, err = foreign.In(found, foreign.Beneath)
		return dir, "", err
	case kind == foreign.Link:
		leads, err := foreign.Readlink(found)
		return nil, "", errors.Join(fmt.Errorf("%s is a link to %q, which may be from a container; name the place itself", to, leads), err, found.Close())
	}
	found.Close() //nolint:errcheck // only looked at
	dir, err = foreign.OpenDir(filepath.Dir(to), foreign.Beneath)
	return dir, filepath.Base(to), err
}

// copyIn makes what is here in the container: in a directory that exists there, else under the name that is given.
func copyIn(ctx context.Context, c *api.Client, from string, to place, container string) error {
	if _, err := os.Stat(from); err != nil {
		return err
	}
	read, write := io.Pipe()
	go func() { write.CloseWithError(archive.Pack(write, from, filepath.Base(filepath.Clean(from)))) }()
	err := c.WriteFiles(ctx, to.namespace, to.pod, container, to.path, read)
	read.CloseWithError(fs.ErrClosed)
	if err != nil {
		return fmt.Errorf("cannot copy to %s:%s: %w", to.pod, to.path, err)
	}
	return nil
}
