package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api/streaming"
)

// portPair is a port here and one of the pod.
type portPair struct{ local, remote uint16 }

// parsePorts reads 8080, 8080:80 and :80, which lets the system choose.
func parsePorts(arg string) (portPair, error) {
	local, remote, two := strings.Cut(arg, ":")
	if !two {
		remote = local
	}
	l, err := strconv.ParseUint(local, 10, 16)
	if local == "" && two {
		l, err = 0, nil
	}
	r, err2 := strconv.ParseUint(remote, 10, 16)
	if err != nil || err2 != nil || r == 0 {
		return portPair{}, fmt.Errorf("%q is no port: write 8080 or 8080:80, the port here and the pod's, or :80", arg)
	}
	return portPair{uint16(l), uint16(r)}, nil
}

func newPortForward(g *global) *cobra.Command {
	var namespace, address string
	cmd := &cobra.Command{
		Use:     "port-forward POD [LOCAL:]REMOTE...",
		Short:   "Make ports of a pod ports of this machine's loopback",
		Long:    "Connections to a port here go to a port of the pod, until the command ends.",
		Example: "  solopod port-forward web 8080\n  solopod port-forward web 8080:80 :9090",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var pairs []portPair
			for _, arg := range args[1:] {
				p, err := parsePorts(arg)
				if err != nil {
					return err
				}
				pairs = append(pairs, p)
			}
			forwarder, err := g.client().PortForward(cmd.Context(), namespace, podName(args[0]))
			if err != nil {
				return err
			}
			defer forwarder.Close() //nolint:errcheck // the command ends
			return forward(cmd.Context(), forwarder, address, pairs, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
		ValidArgsFunction: g.completePods(&namespace),
	}
	f := cmd.Flags()
	f.StringVarP(&namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVar(&address, "address", "127.0.0.1", "the address to listen on")
	return cmd
}

// forward listens and carries connections until ctx ends or the daemon is lost.
func forward(ctx context.Context, f *streaming.Forwarder, address string, pairs []portPair, out, problems io.Writer) error {
	var connections sync.WaitGroup
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close() //nolint:errcheck // the command ends
		}
		f.Close() //nolint:errcheck // the command ends
		connections.Wait()
	}()
	for _, p := range pairs {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(p.local))))
		if err != nil {
			return fmt.Errorf("cannot listen: %w", err)
		}
		listeners = append(listeners, l)
		fmt.Fprintf(out, "Forwarding from %s -> %d\n", l.Addr(), p.remote)
		connections.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				connections.Go(func() {
					if err := f.Forward(conn, p.remote); err != nil && ctx.Err() == nil {
						fmt.Fprintf(problems, "port %d: %v\n", p.remote, err)
					}
				})
			}
		})
	}
	select {
	case <-ctx.Done():
		return nil
	case <-f.Lost():
		return errors.New("the connection to the daemon was lost")
	}
}
