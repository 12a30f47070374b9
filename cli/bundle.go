package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests/policy"
)

func newBundle(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "Make, sign and apply bundles: an application in one file",
		Long: "A bundle is one file with an application: its manifests, their images, a name, a version, and signatures. It is an OCI image layout, so that\n" +
			"tools for registries carry it. apply and ls ask the daemon; the others need none. docs/bundles.md tells more.",
	}
	cmd.AddCommand(newBundleCreate(), newBundleInspect(), newBundleSign(), newBundleVerify(), newBundleApply(g), newBundleList(g))
	return cmd
}

func newBundleCreate() *cobra.Command {
	var o bundle.Order
	var files []string
	var out, config string
	cmd := &cobra.Command{
		Use:   "create -f FILE|DIR... [--images FILE|DIR]... -o FILE.tar[.zst]",
		Short: "Make a bundle of manifests and images",
		Long: "Make a bundle of manifests, and of the images that they name. The images are taken from archives, of OCI or of docker save, and from layouts, which\n" +
			"may be directories; what the manifests do not name stays out. Manifests that a daemon would refuse are refused, with --config also by what the configuration\n" +
			"there allows.\n\nThe same manifests and archives make the same bytes. Only its owner can read the file: manifests may have Secrets.",
		Example: "  solopod bundle create -f web.yaml --images web.tar --name web --version 1.2.0 -o web-1.2.0.tar.zst\n" +
			"  solopod bundle create -f app/ --images app.tar --images layout/ -o app.tar      # name and version by annotations",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 || out == "" {
				return errors.New("name manifests with -f, and the file to write with -o")
			}
			c, err := loadConfig(config, ofAnybody, pflag.NewFlagSet("", pflag.ContinueOnError)) // --images is another
			if err != nil {
				return err
			}
			taken, err := policy.New(c.PodSecurity, c.Policy)
			if err != nil {
				return err
			}
			if o.Texts, err = bundle.Gather(files); err != nil {
				return err
			}
			snapshot, problems := bundle.Judge(o.Texts, c.manifestOptions(taken))
			for _, p := range problems {
				fmt.Fprintln(cmd.ErrOrStderr(), visible.Line(p.Error()))
			}
			if len(problems.Errors()) > 0 {
				return exitError{code: 1}
			}
			o.Snapshot = snapshot
			made, err := bundle.Create(cmd.Context(), o, out)
			if err != nil {
				return err
			}
			for _, name := range made.Missing {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: image %s is in no archive, and left out\n", visible.Line(name))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: bundle %s %s, %s\n", visible.Line(out), made.Name, made.Version, made.Digest)
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&files, "filename", "f", nil, "manifests: a file, or those of a directory (repeatable)")
	f.StringArrayVar(&o.Archives, "images", nil, "an archive or layout with images (repeatable; the first that has an image counts)")
	f.StringVar(&o.Name, "name", "", "the bundle's name (default: the annotation "+bundle.NameAnnotation+" of an object)")
	f.StringVar(&o.Version, "version", "", "its version, like 1.2.0 (default: the annotation "+bundle.VersionAnnotation+")")
	f.BoolVar(&o.Partial, "partial", false, "leave images out that are in no archive, for boxes that have or can pull them")
	f.StringVar(&config, "config", "", "the daemon's configuration file, for what it allows")
	f.StringVarP(&out, "output", "o", "", "the file to write; .zst has it compressed")
	return cmd
}
