package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api"
)

func newImages(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{Use: "images", Short: "List, import, pull, remove and prune images"}
	list := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List images", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			form, err := s.form()
			if err != nil {
				return err
			}
			return s.get(cmd, g.client(), []requested{{kind: imagesKind()}}, form)
		}}
	list.Flags().StringVarP(&s.output, "output", "o", "", "json, yaml or name")
	cmd.AddCommand(list,
		&cobra.Command{Use: "import FILE...", Short: "Import OCI or Docker archives (\"-\" for standard input)", Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				for _, file := range args {
					if err := importFile(cmd, g.client(), file); err != nil {
						return fmt.Errorf("%s: %w", file, err)
					}
				}
				return nil
			}},
		&cobra.Command{Use: "pull REF", Short: "Pull an image from its registry", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				fmt.Fprintf(cmd.ErrOrStderr(), "Pulling %s ...\n", args[0])
				images, err := g.client().PullImage(cmd.Context(), args[0])
				return said(cmd, images, err)
			}},
		newImagesRemove(g), newImagesPrune(g))
	return cmd
}

func importFile(cmd *cobra.Command, c *api.Client, file string) error {
	if file == "-" {
		images, err := c.ImportImages(cmd.Context(), io.NopCloser(cmd.InOrStdin()))
		return said(cmd, images, err)
	}
	f, err := os.Open(file) //nolint:forbidigo // the user names it, a pipe maybe, and waits for it
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	body, end := withProgress(cmd.ErrOrStderr(), f)
	defer end()
	images, err := c.ImportImages(cmd.Context(), io.NopCloser(body))
	return said(cmd, images, err)
}

func said(cmd *cobra.Command, images []api.Image, err error) error {
	if err != nil {
		return err
	}
	for _, i := range images {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", i.Name, size(i.Size)); err != nil {
			return err
		}
	}
	return nil
}
