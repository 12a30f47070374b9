package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner"
)

func newClaims(g *global) *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use: "claims", Aliases: []string{"claim", "pvc"}, Short: "List and remove PersistentVolumeClaims",
		Long: "List and remove PersistentVolumeClaims. A claim is a directory of this machine that is made for the first pod that names it.\n" +
			"It stays, with its data, when its pods and its manifest go.",
	}
	list := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List claims, where their data are, and who uses them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			claims, err := g.client().Claims(cmd.Context())
			if err != nil {
				return err
			}
			t, names := claimTable(claims)
			return s.print(cmd.OutOrStdout(), claims, t, names...)
		}}
	list.Flags().StringVarP(&s.output, "output", "o", "", "json, yaml or name")
	remove := &cobra.Command{Use: "rm NAME", Short: "Remove a claim and its data", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.client().RemoveClaim(cmd.Context(), s.namespace, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "claim %s/%s removed\n", s.namespace, args[0])
			return err
		}}
	remove.ValidArgsFunction = g.completeClaims(&s.namespace)
	remove.Flags().StringVarP(&s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	cmd.AddCommand(list, remove)
	return cmd
}

func claimTable(claims []runner.Claim) (t table, names []string) {
	t.header = []string{"NAMESPACE", "NAME", "CLASS", "SIZE", "AGE", "PODS", "PATH"}
	for _, c := range claims {
		t.rows = append(t.rows, []string{
			c.Namespace, c.Name, orNone(c.Class), orNone(c.Size), age(metav1.NewTime(c.CreatedAt)), orNone(strings.Join(c.Pods, ",")), c.Path,
		})
		names = append(names, "claim/"+c.Name)
	}
	return t, names
}
