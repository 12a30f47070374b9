package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/manifests"
)

// logCommand is how logs was asked for.
type logCommand struct {
	s         selection
	o         api.LogOptions
	container string
	all       bool
	prefix    bool
	most      int
}

func newLogs(g *global) *cobra.Command {
	l := &logCommand{}
	cmd := &cobra.Command{
		Use:   "logs POD... [-c CONTAINER]",
		Short: "Print containers' logs",
		Long: "Print the logs of containers: of a pod's only one, of one by its name, of all with --all-containers, of several pods, or of those\n" +
			"with a label. Lines of several containers are prefixed with --prefix.",
		Example: "  solopod logs web\n  solopod logs -f --tail 20 web\n  solopod logs -p web          the attempt before this one\n" +
			"  solopod logs --since 10m web\n  solopod logs -f -l app=web --all-containers --prefix",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && l.s.selector == "" {
				return errors.New("name a pod, or choose pods with -l")
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return l.run(cmd, g.client(), args) },
		ValidArgsFunction: g.completePods(&l.s.namespace),
	}
	f := cmd.Flags()
	f.StringVarP(&l.s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&l.s.selector, "selector", "l", "", "pods with these labels, for instance app=web")
	f.StringVarP(&l.container, "container", "c", "", "container; needed when the pod has several")
	f.BoolVar(&l.all, "all-containers", false, "all containers of the pods, init containers too")
	f.BoolVar(&l.prefix, "prefix", false, "put pod and container before each line")
	f.IntVar(&l.most, "max-log-requests", 20, "how many logs to read at a time")
	f.BoolVarP(&l.o.Follow, "follow", "f", false, "go on with what is written, until the container ends")
	f.BoolVarP(&l.o.Previous, "previous", "p", false, "the log of the attempt before this one")
	f.BoolVar(&l.o.Timestamps, "timestamps", false, "put the time before each line")
	f.Int64Var(&l.o.Tail, "tail", -1, "only so many of the last lines; -1 for all")
	f.DurationVar(&l.o.Since, "since", 0, "only what is younger, for instance 10s, 5m or 2h")
	return cmd
}

// logSource is one log.
type logSource struct{ pod, container string }

func (l *logCommand) run(cmd *cobra.Command, c *api.Client, args []string) error {
	for i := range args {
		args[i] = podName(args[i])
	}
	// "logs POD CONTAINER" is how it once was, in kubectl as well.
	if len(args) == 2 && l.container == "" && !l.all && l.s.selector == "" {
		pods, err := c.Pods(cmd.Context())
		if err != nil {
			return err
		}
		if p := findPod(pods, l.s.namespace, args[0]); p != nil && findPod(pods, l.s.namespace, args[1]) == nil && hasContainer(p, args[1]) {
			args, l.container = args[:1], args[1]
		}
	}
	if len(args) == 1 && !l.all && l.s.selector == "" && !l.prefix {
		return c.Logs(cmd.Context(), l.s.namespace, args[0], l.container, l.o, verbatim(cmd.OutOrStdout()))
	}
	pods, _, err := l.s.selected(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	sources := l.sources(pods)
	switch {
	case len(sources) == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "No pods found in namespace %s.\n", l.s.namespace)
		return nil
	case len(sources) > l.most && l.o.Follow:
		return fmt.Errorf("these are %d logs to follow; raise --max-log-requests, which is %d", len(sources), l.most)
	}
	return l.read(cmd.Context(), c, sources, verbatim(cmd.OutOrStdout()))
}

func findPod(pods []v1.Pod, namespace, name string) *v1.Pod {
	for i := range pods {
		if pods[i].Namespace == namespace && pods[i].Name == name {
			return &pods[i]
		}
	}
	return nil
}

func hasContainer(p *v1.Pod, name string) bool {
	return slices.ContainsFunc(manifests.AllContainers(p), func(c *v1.Container) bool { return c.Name == name })
}

// sources are the logs of the pods that are asked for.
func (l *logCommand) sources(pods []v1.Pod) []logSource {
	var out []logSource
	for i := range pods {
		p := &pods[i]
		if !l.all {
			out = append(out, logSource{p.Name, l.container})
			continue
		}
		for _, c := range manifests.AllContainers(p) {
			out = append(out, logSource{p.Name, c.Name})
		}
	}
	return out
}

// read prints the logs: one after the other, or when they are followed all at once, line by line.
func (l *logCommand) read(ctx context.Context, c *api.Client, sources []logSource, w io.Writer) error {
	var wg sync.WaitGroup
	errs := make([]error, len(sources))
	shared := &sharedWriter{w: w}
	for i, s := range sources {
		out := &lineWriter{w: shared}
		if l.prefix {
			out.prefix = fmt.Sprintf("[pod/%s/%s] ", s.pod, s.container)
			if s.container == "" {
				out.prefix = fmt.Sprintf("[pod/%s] ", s.pod)
			}
		}
		one := func() {
			errs[i] = c.Logs(ctx, l.s.namespace, s.pod, s.container, l.o, out)
			out.end()
		}
		if l.o.Follow {
			wg.Go(one)
		} else {
			one()
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sharedWriter prints the lines of several logs.
type sharedWriter struct {
	mu   sync.Mutex
	w    io.Writer
	open bool // what was printed last has no line end
}

// print prints a line; what another log has left without an end gets one.
func (s *sharedWriter) print(prefix string, line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		prefix = "\n" + prefix
	}
	s.open = !bytes.HasSuffix(line, []byte("\n"))
	if _, err := io.WriteString(s.w, prefix); err != nil {
		return err
	}
	_, err := s.w.Write(line)
	return err
}

// lineWriter passes the whole lines of one log on, each with a prefix.
type lineWriter struct {
	w       *sharedWriter
	prefix  string
	pending []byte
}

func (l *lineWriter) Write(b []byte) (int, error) {
	l.pending = append(l.pending, b...)
	for {
		i := bytes.IndexByte(l.pending, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := l.w.print(l.prefix, l.pending[:i+1]); err != nil {
			return 0, err
		}
		l.pending = l.pending[i+1:]
	}
}

// end passes on a last line that has no end.
func (l *lineWriter) end() {
	if len(l.pending) > 0 {
		l.w.print(l.prefix, l.pending) //nolint:errcheck // the output's own error has been seen
	}
}
