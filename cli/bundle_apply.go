package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/bundles"
	"github.com/solopod/solopod/api/trusted"
	"github.com/solopod/solopod/bundle/apply"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/runner"
	"github.com/solopod/solopod/runner/foreign"
)

func newBundleApply(g *global) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Have the daemon apply a bundle", Args: cobra.ExactArgs(1),
		Long: "Have the daemon verify a bundle by the keys in its configuration (bundleKeyFile), import its images, and then switch all its manifests in one\n" +
			"step: they become the file bundle-NAME.yaml of the manifests directory. What an earlier version had and this one has not is removed. A version that is\n" +
			"older than one that the box has had is refused, and another bundle of the same version.",
		Example: "  solopod bundle apply web-1.2.0.tar.zst",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := foreign.OpenFollowing(args[0])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // only read from
			body, end := withProgress(cmd.ErrOrStderr(), f)
			defer end()
			var done apply.Applied
			if err := api.ApplyBundle(cmd.Context(), g.client(), io.NopCloser(body), force, &done); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "bundle %s %s applied, signed by %s\n", done.Name, done.Version, visible.Line(done.Signer))
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also one that is older than what the box has had")
	return cmd
}

func newBundleList(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List the bundles that the daemon has applied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := s.form(); err != nil {
				return err
			}
			var list bundles.List
			if err := api.Ask(cmd.Context(), g.client(), http.MethodGet, "/bundles", nil, &list); err != nil {
				return err
			}
			t, names := table{header: []string{"NAME", "VERSION", "STATE", "AGE", "SIGNER"}}, []string{}
			for _, b := range list.Bundles {
				t.rows, names = append(t.rows, []string{b.Name, b.Version, b.State, age(metav1.NewTime(b.Time)), b.Signer}), append(names, b.Name)
			}
			return s.print(cmd.OutOrStdout(), list, t, names...)
		},
	}
	cmd.Flags().StringVarP(&s.output, "output", "o", "", "json, yaml or name")
	return cmd
}

func checkBundles(c *config) error {
	if c.BundleKeyFile != "" && c.BundleKeyFile[0] != '/' {
		return fmt.Errorf("bundleKeyFile must be an absolute path, not %q", c.BundleKeyFile)
	}
	return nil
}

// bundleKeys reads the keys anew for each bundle: who can change them decides what runs as root.
func bundleKeys(c *config) (signature.Keys, error) {
	switch {
	case c.BundleKeyFile == "":
		return signature.Keys{}, errors.New("this box applies no bundles: name the public keys of those who may sign them with bundleKeyFile in the configuration")
	case c.ManifestKeyFile != "":
		return signature.Keys{}, errors.New("this box demands that each manifest file is signed (manifestKeyFile), and the one that a bundle becomes is not")
	}
	text, err := trusted.Read(c.BundleKeyFile, trusted.Public, maxKeyFile)
	if err != nil {
		return signature.Keys{}, fmt.Errorf("the keys of bundles cannot be used: %w", err)
	}
	keys, err := signature.ParseKeys(text)
	if err != nil {
		return keys, fmt.Errorf("the keys in %s cannot be used: %w", c.BundleKeyFile, err)
	}
	return keys, nil
}

// newBundles makes what applies bundles.
func newBundles(c config, r *runner.Runner, o decode.Options) *apply.Box {
	b := &apply.Box{
		Dir: filepath.Join(c.Root, "bundles"), Manifests: c.Manifests, Decode: o, Keys: func() (signature.Keys, error) { return bundleKeys(&c) },
		Files: func() []manifests.File {
			files, _, _ := r.Files()
			return files
		},
		Import: func(ctx context.Context, archive io.Reader) error {
			_, err := r.Images().Import(ctx, archive, true)
			return err
		},
	}
	told, err := b.Begin()
	if err != nil {
		r.Events().Node(v1.EventTypeWarning, "CannotKeep", "bundles cannot be applied: "+err.Error())
	}
	if told != "" {
		r.Events().Node(v1.EventTypeWarning, "StateDamaged", told)
	}
	return b
}
