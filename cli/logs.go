package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

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
	since     string // --since-time
	all       bool   // all containers
	allPods   bool
	prefix    bool
	ignore    bool
	most      int
}

// selectedTail is how many lines are printed of each log where pods are chosen by labels and nothing is said, as by kubectl.
const selectedTail = 10

func newLogs(g *global) *cobra.Command {
	l := &logCommand{}
	cmd := &cobra.Command{
		Use:   "logs POD|TYPE/NAME... [-c CONTAINER]",
		Short: "Print containers' logs",
		Long: "Print the logs of containers: of a pod's default one, of one by its name, of all with --all-containers, of several pods, or of those\n" +
			"with a label. Of a Deployment, Job or the like it is one pod, or all with --all-pods. Lines of several containers are prefixed with\n" +
			"--prefix.",
		Example: "  solopod logs web\n  solopod logs -f --tail 20 deploy/web\n  solopod logs -p web          the attempt before this one\n" +
			"  solopod logs --since 10m web\n  solopod logs --since-time 2026-01-31T12:00:00Z job/backup\n" +
			"  solopod logs -f -l app=web --all-containers --prefix",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && l.s.selector == "":
				return errors.New("name a pod, or choose pods with -l")
			case len(args) > 0 && l.s.selector != "":
				return errors.New("name pods, or choose them with -l, not both")
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return l.run(cmd, g.client(), args) },
		ValidArgsFunction: g.completePods(&l.s.namespace),
	}
	f := cmd.Flags()
	f.StringVarP(&l.s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&l.s.selector, "selector", "l", "", "pods with these labels, for instance app=web")
	f.StringVarP(&l.container, "container", "c", "", "container; else the pod's default one: its first, or the one that the annotation "+defaultContainerAnnotation+" names")
	f.BoolVar(&l.all, "all-containers", false, "all containers of the pods, init containers too")
	f.BoolVar(&l.allPods, "all-pods", false, "all pods of a Deployment or the like, with --prefix")
	f.BoolVar(&l.prefix, "prefix", false, "put pod and container before each line")
	f.BoolVar(&l.ignore, "ignore-errors", false, "go on where a log cannot be read, when they are followed")
	f.IntVar(&l.most, "max-log-requests", 20, "how many logs to follow at a time")
	f.BoolVarP(&l.o.Follow, "follow", "f", false, "go on with what is written, until the container ends")
	f.BoolVarP(&l.o.Previous, "previous", "p", false, "the log of the attempt before this one")
	f.BoolVar(&l.o.Timestamps, "timestamps", false, "put the time before each line")
	f.Int64Var(&l.o.Tail, "tail", -1, "only so many of the last lines; -1 for all, which is the default but with -l, where it is 10")
	f.Int64Var(&l.o.LimitBytes, "limit-bytes", 0, "at most so many bytes of each log; 0 for all")
	f.DurationVar(&l.o.Since, "since", 0, "only what is younger, for instance 10s, 5m or 2h")
	f.StringVar(&l.since, "since-time", "", "only what is younger than this time, for instance 2026-01-31T12:00:00Z")
	cmd.MarkFlagsMutuallyExclusive("since", "since-time")
	cmd.MarkFlagsMutuallyExclusive("container", "all-containers")
	return cmd
}

// logSource is one log.
type logSource struct{ pod, container string }

func (l *logCommand) run(cmd *cobra.Command, c *api.Client, args []string) error {
	if l.o.Since < 0 {
		return fmt.Errorf("--since is how long ago, for instance 10m, not %s", l.o.Since)
	}
	if l.since != "" {
		at, err := time.Parse(time.RFC3339, l.since)
		if err != nil {
			return fmt.Errorf("--since-time takes a time like 2026-01-31T12:00:00Z, not %q", l.since)
		}
		l.o.SinceTime = at
	}
	if l.o.LimitBytes < 0 {
		return fmt.Errorf("--limit-bytes takes a number of bytes, not %d", l.o.LimitBytes)
	}
	if l.s.selector != "" && !cmd.Flags().Changed("tail") {
		l.o.Tail = selectedTail
	}
	pods, err := l.pods(cmd, c, args)
	if err != nil {
		return err
	}
	sources, err := l.sources(pods, cmd.ErrOrStderr())
	switch {
	case err != nil:
		return err
	case len(sources) == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "No pods found in namespace %s.\n", l.s.namespace)
		return nil
	case len(sources) == 1 && !l.prefix:
		return c.Logs(cmd.Context(), l.s.namespace, sources[0].pod, sources[0].container, l.o, verbatim(cmd.OutOrStdout()))
	case len(sources) > l.most && l.o.Follow:
		return fmt.Errorf("these are %d logs to follow; raise --max-log-requests, which is %d", len(sources), l.most)
	}
	return l.read(cmd.Context(), c, sources, verbatim(cmd.OutOrStdout()), cmd.ErrOrStderr())
}

// pods are those whose logs are asked for.
func (l *logCommand) pods(cmd *cobra.Command, c *api.Client, args []string) ([]v1.Pod, error) {
	ctx := cmd.Context()
	if l.s.selector != "" {
		return l.s.selected(ctx, c, nil)
	}
	// "logs POD CONTAINER" is how it once was, in kubectl as well.
	if len(args) == 2 && l.container == "" && !l.all && !strings.Contains(args[1], "/") {
		of, err := l.of(ctx, c, args[0], io.Discard)
		if k, unknown := kindNamed(args[0]); err != nil && unknown == nil && podMakers[k.plural] != "" {
			err = fmt.Errorf("%w; for those of a %s: solopod logs %s/%s", err, k.singular, args[0], args[1])
		}
		if err != nil {
			return nil, err
		}
		if all, err := c.Pods(ctx); err != nil || hasContainer(&of[0], args[1]) && findPod(all, l.s.namespace, args[1]) == nil {
			l.container = args[1]
			return of, err
		}
	}
	var out []v1.Pod
	for _, arg := range args {
		pods, err := l.of(ctx, c, arg, cmd.ErrOrStderr())
		if err != nil {
			return nil, err
		}
		out = append(out, pods...)
	}
	return out, nil
}

// of are the pods of one argument: of what has several the one that tells most, or with --all-pods all.
func (l *logCommand) of(ctx context.Context, c *api.Client, arg string, told io.Writer) ([]v1.Pod, error) {
	o, err := parseObject(arg)
	if err != nil {
		return nil, err
	}
	pods, err := podsOf(ctx, c, l.s.namespace, o)
	if err != nil || o.kind == podKind {
		return pods, err
	}
	if l.allPods {
		l.prefix = true
		return pods, nil
	}
	p := telling(pods)
	if len(pods) > 1 {
		fmt.Fprintf(told, "Found %d pods, using pod/%s\n", len(pods), p.Name)
	}
	return []v1.Pod{*p}, nil
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
func (l *logCommand) sources(pods []v1.Pod, told io.Writer) ([]logSource, error) {
	var out []logSource
	for i := range pods {
		p := &pods[i]
		if !l.all {
			container, err := containerIn(p, l.container, told)
			if err != nil {
				return nil, err
			}
			out = append(out, logSource{p.Name, container})
			continue
		}
		for _, c := range manifests.AllContainers(p) {
			out = append(out, logSource{p.Name, c.Name})
		}
	}
	return out, nil
}

// read prints the logs: one after the other, or when they are followed all at once, line by line.
func (l *logCommand) read(ctx context.Context, c *api.Client, sources []logSource, w, told io.Writer) error {
	var wg sync.WaitGroup
	errs := make([]error, len(sources))
	shared := &sharedWriter{w: w}
	for i, s := range sources {
		out := &lineWriter{w: shared}
		if l.prefix {
			out.prefix = fmt.Sprintf("[pod/%s/%s] ", s.pod, s.container)
		}
		one := func() {
			errs[i] = c.Logs(ctx, l.s.namespace, s.pod, s.container, l.o, out)
			out.end()
			if errs[i] != nil && l.ignore {
				fmt.Fprintln(told, "error:", errs[i])
				errs[i] = nil
			}
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
