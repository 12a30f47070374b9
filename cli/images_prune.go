package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/unused"
	"github.com/solopod/solopod/runner/collect"
)

func newImagesRemove(g *global) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use: "rm REF", Short: "Remove an image", Args: cobra.ExactArgs(1), ValidArgsFunction: g.completeImages,
		Long: "Remove an image. One that a pod, or another object of the manifests, uses stays, and it is said which.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.client().RemoveImage(cmd.Context(), args[0], force); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "image %s removed\n", args[0])
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also one that is used")
	return cmd
}

func newImagesPrune(g *global) *cobra.Command {
	s, p := &selection{}, collect.Pruning{}
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove the images that nobody uses", Args: cobra.NoArgs,
		Long: "Remove the images that nobody uses: no container, no object of the manifests (also of pods that do not run now), no setting\n" +
			"(pinnedImages), no pull. Those that came less than imageMinimumGCAge (2m) ago stay without --all. What is removed comes back by a\n" +
			"pull, or from its archive in the images directory, when a pod needs it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.Unused < 0 {
				return fmt.Errorf("--older-than %s is negative; give a duration like 24h", p.Unused)
			}
			form, err := s.form()
			if err != nil {
				return err
			}
			if !p.DryRun && onTerminal(cmd.ErrOrStderr()) {
				fmt.Fprintln(cmd.ErrOrStderr(), "Removing images that nobody uses ...")
			}
			var done collect.Pruned
			if err := api.Ask(cmd.Context(), g.client(), http.MethodPost, "/images/prune", unused.Query(p), &done); err != nil {
				return err
			}
			t, names := prunedTable(done)
			if err := s.print(cmd.OutOrStdout(), done, t, names...); err != nil {
				return err
			}
			if form.table() {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), prunedSum(done)); err != nil {
					return err
				}
			}
			if done.Error != "" {
				return fmt.Errorf("not all of them could be removed: %s", done.Error)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&p.All, "all", false, "also images that have come just now")
	cmd.Flags().BoolVar(&p.DryRun, "dry-run", false, "remove nothing; show what would go, and why others stay")
	cmd.Flags().DurationVar(&p.Unused, "older-than", 0, "only images that nobody has used for that long, like 24h")
	cmd.Flags().StringVarP(&s.output, "output", "o", "", "json, yaml or name")
	return cmd
}

// prunedTable has what went, or would go, and what stays.
func prunedTable(done collect.Pruned) (t table, names []string) {
	verb := "removed"
	if done.DryRun {
		verb = "would go"
	}
	t.header = []string{"IMAGE", "SIZE", "FREES", "USED", "RESULT"}
	row := func(e collect.Entry, frees, result string) {
		t.rows = append(t.rows, []string{strings.Join(e.Names, ","), size(e.Size), frees, lastUsed(e), result})
	}
	for _, e := range done.Removed {
		row(e, size(e.Frees), verb)
		names = append(names, e.Names...)
	}
	for _, e := range done.Kept {
		row(e, "-", "stays: "+e.Reason)
	}
	return t, names
}

func lastUsed(e collect.Entry) string {
	if e.LastUsed.IsZero() || time.Since(e.LastUsed) < time.Second {
		return "now"
	}
	return age(metav1.NewTime(e.LastUsed))
}

// prunedSum says in a line what became of it.
func prunedSum(done collect.Pruned) string {
	of := "images were removed"
	if len(done.Removed) == 1 {
		of = "image was removed"
	}
	if done.DryRun {
		return fmt.Sprintf("%d of %d images would go, and %s become free", len(done.Removed), len(done.Removed)+len(done.Kept), size(done.Freed))
	}
	return fmt.Sprintf("%d %s, %s are free", len(done.Removed), of, size(done.Freed))
}
