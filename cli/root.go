// Package cli is the command line: one file per command. Commands parse and print; the daemon is wired together in
// run.go, and the other commands talk to it through api's client.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/api"
)

// exitError carries an exit code other than 1. A nil err means that everything was said already.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Main runs the command line and returns the process's exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out, errs := &screen{w: os.Stdout}, &screen{w: os.Stderr}
	defer out.end()
	defer errs.end()
	root := Command()
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var exit exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(errs, "error:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(errs, "error:", err)
	return 1
}

// global holds what all commands share.
type global struct{ socket string }

func (g *global) client() *api.Client { return api.NewClient(g.socket) }

// Command makes the whole command line; its help texts are also the manual pages.
func Command() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "solopod",
		Short: "Run static pods on containerd, without a cluster",
		Long: "Solopod watches a directory of Kubernetes pod manifests and runs them on containerd: a kubelet without an API server.\n\n" +
			"Start the daemon with \"solopod run\"; the other commands talk to it through its socket.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	socket := os.Getenv("SOLOPOD_SOCKET")
	if socket == "" {
		socket = defaults().Socket
	}
	root.PersistentFlags().StringVar(&g.socket, "socket", socket, "the daemon's unix socket (also $SOLOPOD_SOCKET)")
	root.AddCommand(newRun(g), newCheck(), newConvert(), newAudit(g), newDoctor(), newGet(g), newDescribe(g), newLogs(g), newExec(g), newAttach(g), newPortForward(g), newCp(g), newTop(g), newRestart(g), newRollout(g), newWait(g), newExplain(), newDiff(g), newImages(g), newBundle(g), newClaims(g), newDrain(g), newVersion(g), newCheckDatabase())
	root.AddCommand(newHabits()...)
	root.Version = version // which adds --version
	root.SetVersionTemplate("solopod {{.Version}}\n")
	g.strict(root)
	return root
}
