package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/streaming"
	"github.com/solopod/solopod/manifests"
)

// portPair is a port here and one of the pod.
type portPair struct{ local, remote uint16 }

// portArgument is a pair as it is written; the port on the other side may be a name, and without a local one that is taken here too.
type portArgument struct {
	local  uint16
	given  bool // local was, be it 0
	remote string
}

// parsePorts reads 8080, 8080:80, http, 8080:http and :80, which lets the system choose.
func parsePorts(arg string) (portArgument, error) {
	local, remote, two := strings.Cut(arg, ":")
	if !two {
		remote = local
	}
	out := portArgument{given: two, remote: remote}
	var err error
	if two && local != "" {
		var l uint64
		l, err = strconv.ParseUint(local, 10, 16)
		out.local = uint16(l)
	}
	named := len(validation.IsValidPortName(remote)) == 0
	if r, err2 := strconv.ParseUint(remote, 10, 16); err != nil || (err2 != nil || r == 0) && !named {
		return portArgument{}, fmt.Errorf("%q is no port: write 8080 or 8080:80, the port here and the pod's, or :80; the second one may be a name", arg)
	}
	return out, nil
}

// pair finds the pod's port: by number, or by the name that a container gives it. Where a service is meant it is one of its ports, and the
// port that it leads to.
func (a portArgument) pair(p *v1.Pod, service *v1.Service) (portPair, error) {
	here, remote := a.remote, intstr.Parse(a.remote)
	if service != nil {
		i := slices.IndexFunc(service.Spec.Ports, func(s v1.ServicePort) bool { return s.Name == a.remote || strconv.Itoa(int(s.Port)) == a.remote })
		if i < 0 {
			return portPair{}, fmt.Errorf("service %s has no port %s; it has %s", service.Name, a.remote, servicePorts(service.Spec.Ports))
		}
		here = strconv.Itoa(int(service.Spec.Ports[i].Port))
		if remote = service.Spec.Ports[i].TargetPort; service.Spec.ClusterIP == v1.ClusterIPNone || remote == intstr.FromInt32(0) {
			remote = intstr.FromInt32(service.Spec.Ports[i].Port)
		}
	}
	number, err := portOf(p, remote)
	if err != nil {
		return portPair{}, err
	}
	out := portPair{a.local, number}
	if !a.given {
		if service == nil {
			here = strconv.Itoa(int(number))
		}
		l, err := strconv.ParseUint(here, 10, 16)
		if err != nil {
			return portPair{}, err
		}
		out.local = uint16(l)
	}
	return out, nil
}

// portOf is the number of a port that may have a name.
func portOf(p *v1.Pod, port intstr.IntOrString) (uint16, error) {
	if port.Type == intstr.Int {
		return uint16(port.IntVal), nil
	}
	var names []string
	for _, c := range manifests.AllContainers(p) {
		for _, declared := range c.Ports {
			if declared.Name == port.StrVal {
				return uint16(declared.ContainerPort), nil
			}
			if declared.Name != "" {
				names = append(names, declared.Name)
			}
		}
	}
	return 0, fmt.Errorf("pod %s has no port with the name %q; it has %s", p.Name, port.StrVal, orNone(strings.Join(names, ", ")))
}

func newPortForward(g *global) *cobra.Command {
	var namespace, address string
	cmd := &cobra.Command{
		Use:   "port-forward POD|TYPE/NAME [LOCAL:]REMOTE...",
		Short: "Make ports of a pod ports of this machine's loopback",
		Long: "Connections to a port here go to a port of the pod, until the command ends. Of a Deployment, Service or the like it is the pod that\n" +
			"is ready for longest; a Service's ports are meant as it has them. Ports may be named as the manifest names them.",
		Example: "  solopod port-forward web 8080\n  solopod port-forward web 8080:80 :9090\n  solopod port-forward svc/web 8080:http",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var asked []portArgument
			for _, arg := range args[1:] {
				a, err := parsePorts(arg)
				if err != nil {
					return err
				}
				asked = append(asked, a)
			}
			pod, pairs, err := forwarded(cmd.Context(), g.client(), namespace, args[0], asked)
			if err != nil {
				return err
			}
			forwarder, err := g.client().PortForward(cmd.Context(), namespace, pod)
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

// forwarded finds the pod that is meant, and its ports.
func forwarded(ctx context.Context, c *api.Client, namespace, arg string, asked []portArgument) (pod string, pairs []portPair, err error) {
	o, err := parseObject(arg)
	if err != nil {
		return "", nil, err
	}
	pods, err := podsOf(ctx, c, namespace, o)
	if err != nil {
		return "", nil, err
	}
	p := liveliest(pods)
	if p.Status.Phase != v1.PodRunning {
		return "", nil, fmt.Errorf("pod %s does not run, so that no port of it answers; it is %s", p.Name, podStatus(p))
	}
	var service *v1.Service
	if o.kind.plural == "services" {
		if service, err = serviceNamed(ctx, c, namespace, o.name); err != nil {
			return "", nil, err
		}
	}
	for _, a := range asked {
		pair, err := a.pair(p, service)
		if err != nil {
			return "", nil, err
		}
		pairs = append(pairs, pair)
	}
	return p.Name, pairs, nil
}

func serviceNamed(ctx context.Context, c *api.Client, namespace, name string) (*v1.Service, error) {
	all, err := api.ServiceKind.List(ctx, c)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if s := &all[i]; s.Namespace == namespace && s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("service %q not found in namespace %s", name, namespace)
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
	network := "tcp"
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is4() {
		network = "tcp4" // else Go takes 0.0.0.0 for all addresses of both families
	}
	for _, p := range pairs {
		l, err := (&net.ListenConfig{}).Listen(ctx, network, net.JoinHostPort(address, strconv.Itoa(int(p.local))))
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
