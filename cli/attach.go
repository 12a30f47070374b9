package cli

import (
	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
)

func newAttach(g *global) *cobra.Command {
	var namespace, container string
	t := terminal{}
	cmd := &cobra.Command{
		Use:   "attach POD [-c CONTAINER] [-it]",
		Short: "Connect to a container's main process",
		Long: "Connect to what a container's main process writes from now on and, with -i, reads: its manifest must have stdin: true.\n" +
			"With stdinOnce the end of the session is the end of its input.",
		Example: "  solopod attach web\n  solopod attach -it shell",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, restore, err := t.streams(cmd.Context())
			if err != nil {
				return err
			}
			defer restore()
			return exitCode(g.client().Attach(cmd.Context(), namespace, podName(args[0]), container, s))
		},
		ValidArgsFunction: g.completePods(&namespace),
	}
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&container, "container", "c", "", "container; needed when the pod has several")
	f.BoolVarP(&t.stdin, "stdin", "i", false, "pass the input on")
	f.BoolVarP(&t.tty, "tty", "t", false, "with a terminal")
	return cmd
}
