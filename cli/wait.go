package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
)

// awaited says whether an object is as is waited for. A nil object is one that does not exist.
type awaited func(object map[string]any) (bool, error)

// awaitedHelp says what --for takes.
const awaitedHelp = "condition=NAME[=VALUE], jsonpath={PATH}[=VALUE], create or delete"

// parseAwaited reads what --for takes: condition=Ready, condition=Ready=false, jsonpath={.status.phase}=Running, delete, create.
func parseAwaited(text string) (awaited, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch kind {
	case "delete":
		return func(o map[string]any) (bool, error) { return o == nil, nil }, nil
	case "create":
		return func(o map[string]any) (bool, error) { return o != nil, nil }, nil
	case "condition":
		name, value, given := strings.Cut(rest, "=")
		if !given {
			value = string(v1.ConditionTrue)
		}
		if name != "" {
			return func(o map[string]any) (bool, error) { return hasCondition(o, name, value), nil }, nil
		}
	case "jsonpath":
		path, value, given := cutPath(rest)
		if path == "" {
			break
		}
		return func(o map[string]any) (bool, error) {
			if o == nil {
				return false, nil
			}
			got, err := byPath(path, o)
			return given && got == value || !given && got != "", err
		}, nil
	}
	return nil, fmt.Errorf("--for takes %s, not %q", awaitedHelp, text)
}

// cutPath divides PATH=VALUE; the path may have = in it where it stands in braces or quotes, and lack the braces. An empty path is none.
func cutPath(text string) (path, value string, given bool) {
	switch end := strings.LastIndex(text, "}="); {
	case text == "":
		return "", "", false
	case strings.ContainsRune(`'"`, rune(text[0])):
		path, value, _ = strings.Cut(text[1:], text[:1])
		value, given = strings.CutPrefix(value, "=")
	case text[0] == '{' && end >= 0:
		path, value, given = text[:end+1], text[end+2:], true
	case text[0] == '{':
		path = text
	default:
		path, value, given = strings.Cut(text, "=")
	}
	if path != "" && path[0] != '{' {
		path = "{." + strings.TrimPrefix(path, ".") + "}"
	}
	if !strings.HasSuffix(path, "}") {
		return "", "", false
	}
	return path, strings.Trim(value, `'"`), given
}

// hasCondition says whether an object has a condition with a value. One that is about an earlier version of the object does not count, as
// by kubectl.
func hasCondition(o map[string]any, name, value string) bool {
	generation, _, _ := unstructured.NestedInt64(o, "metadata", "generation")
	stale := func(of map[string]any, fields ...string) bool {
		observed, found, err := unstructured.NestedInt64(of, fields...)
		return err == nil && found && observed < generation
	}
	if o == nil || stale(o, "status", "observedGeneration") {
		return false
	}
	list, _, _ := unstructured.NestedSlice(o, "status", "conditions")
	for _, item := range list {
		c, ok := item.(map[string]any)
		if !ok {
			continue
		}
		if text, _ := c["type"].(string); strings.EqualFold(text, name) {
			is, _ := c["status"].(string)
			return strings.EqualFold(is, value) && !stale(c, "observedGeneration")
		}
	}
	return false
}

// errReached ends a watch.
var errReached = errors.New("reached")

// lookLimit is how long the daemon may take to answer where nothing is waited for.
const lookLimit = 10 * time.Second

// waitCommand is how wait was asked for.
type waitCommand struct {
	s       selection
	every   bool
	what    string
	timeout time.Duration
}

func newWait(g *global) *cobra.Command {
	w := &waitCommand{}
	cmd := &cobra.Command{
		Use:   "wait [--for=condition=Ready] POD...|TYPE/NAME...|TYPE NAME...|TYPE -l LABELS|TYPE --all",
		Short: "Wait until pods, Deployments, Jobs and the like are ready, or as you say",
		Long: "Wait until each object is as --for says: else until pods are Ready, Deployments Available and Jobs Complete. What does not exist yet\n" +
			"is waited for too; with -l or --all it is what exists now.",
		Example: "  solopod wait --for=condition=Ready web\n  solopod wait --for=jsonpath='{.status.phase}'=Succeeded job --timeout=5m\n  solopod wait --for=delete web\n" +
			"  solopod wait --for=condition=Complete job/backup\n  solopod wait pod --all\n  solopod wait deployments -l app=shop",
		RunE:              func(cmd *cobra.Command, args []string) error { return w.run(cmd, g.client(), args) },
		ValidArgsFunction: g.completeObjects(&w.s.namespace, true),
	}
	f := cmd.Flags()
	f.StringVarP(&w.s.namespace, "namespace", "n", v1.NamespaceDefault, "namespace")
	f.StringVarP(&w.s.selector, "selector", "l", "", "all of the type with these labels, for instance app=web")
	f.BoolVar(&w.every, "all", false, "all of the type in the namespace")
	f.BoolVarP(&w.s.all, "all-namespaces", "A", false, "with -l or --all: of all namespaces")
	f.StringVar(&w.what, "for", "", awaitedHelp)
	f.DurationVar(&w.timeout, "timeout", 30*time.Second, "how long at most; 0 looks once, less is a week")
	return cmd
}

// awaitedObject is an object that is waited for.
type awaitedObject struct {
	objectName
	namespace string
}

func (w *waitCommand) run(cmd *cobra.Command, c *api.Client, args []string) error {
	waited, err := w.objects(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	if w.timeout < 0 {
		w.timeout = 7 * 24 * time.Hour
	}
	limit := w.timeout
	if limit == 0 {
		limit = lookLimit
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	// What comes when the time is over is looked at once: it may be as wanted.
	last, end := context.WithTimeout(cmd.Context(), limit+lookLimit)
	defer end()
	var failed []error
	for _, o := range waited {
		var err error
		if ctx.Err() == nil {
			err = w.wait(ctx, c, o, w.timeout == 0)
		} else {
			err = w.wait(last, c, o, true)
		}
		if err != nil && cmd.Context().Err() != nil {
			return exitError{130, nil} // Ctrl-C
		}
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s/%s condition met\n", o.kind.resource(), o.name)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// objects are what is waited for.
func (w *waitCommand) objects(ctx context.Context, c *api.Client, args []string) ([]awaitedObject, error) {
	var out []awaitedObject
	if !w.every && w.s.selector == "" {
		if len(args) == 0 {
			return nil, errors.New("name what is waited for: POD, TYPE/NAME, or TYPE with -l or --all")
		}
		if w.s.all {
			return nil, errors.New("-A goes with -l or --all; a name is looked for in the namespace that -n says")
		}
		named, err := parseObjects(args)
		for _, o := range named {
			if err := waitable(o.kind); err != nil {
				return nil, err
			}
			out = append(out, awaitedObject{o, w.s.namespace})
		}
		return out, err
	}
	if len(args) != 1 || w.every && w.s.selector != "" {
		return nil, errors.New("with -l or --all comes one type, and no name: solopod wait pods --all")
	}
	selector, err := labels.Parse(w.s.selector)
	if err != nil {
		return nil, fmt.Errorf("-l: %w", err)
	}
	kinds, err := kindsNamed(args[0])
	if err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if err := waitable(k); err != nil {
			return nil, err
		}
		all, err := anyKind(k).List(ctx, c)
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			u := unstructured.Unstructured{Object: o}
			if (w.s.all || u.GetNamespace() == w.s.namespace) && selector.Matches(labels.Set(u.GetLabels())) {
				out = append(out, awaitedObject{objectName{k, u.GetName()}, u.GetNamespace()})
			}
		}
	}
	if len(out) == 0 && w.what != "delete" {
		return nil, fmt.Errorf("no matching resources found: %s", noneOf(args[0], w.s.selector, w.s.namespace, w.s.all))
	}
	return out, nil
}

// noneOf says that there is nothing of a type, as: no deployments with the labels app=web in namespace default.
func noneOf(types, selector, namespace string, everywhere bool) string {
	with, in := "", " in namespace "+namespace
	if selector != "" {
		with = " with the labels " + selector
	}
	if everywhere {
		in = " in any namespace"
	}
	if k, err := kindNamed(types); err == nil {
		types = k.plural
	}
	return "no " + types + with + in
}

// usual is what objects of a kind are waited for where nothing is said.
var usual = map[string]string{"pods": "condition=Ready", "deployments": "condition=Available", "jobs": "condition=Complete"}

// anyKind is a kind whose objects are taken as they are.
func anyKind(k *kind) api.Kind[map[string]any] { return api.KindAt[map[string]any]("/"+k.plural, nil) }

// waitable says why objects of a kind cannot be waited for: nobody is told when they change.
func waitable(k *kind) error {
	if k.watch == nil || k.plural == "containers" {
		return fmt.Errorf("%s cannot be waited for", k.plural)
	}
	return nil
}

// wait waits for an object, or looks at it once.
func (w *waitCommand) wait(ctx context.Context, c *api.Client, o awaitedObject, once bool) error {
	what := w.what
	if what == "" {
		what = usual[o.kind.plural]
	}
	if what == "" {
		return fmt.Errorf("say with --for what is waited for of %s: %s; or use solopod rollout status", o.objectName, awaitedHelp)
	}
	reached, err := parseAwaited(what)
	if err != nil {
		return err
	}
	exists, err := await(ctx, c, o, reached, once)
	if !errors.Is(err, errNotYet) && ctx.Err() == nil {
		return err
	}
	if err == nil {
		return nil
	}
	more := fmt.Sprintf("; solopod describe %s %s -n %s tells more", o.kind.singular, o.name, o.namespace)
	if !exists {
		more = fmt.Sprintf(", which is not in namespace %s", o.namespace)
	}
	return fmt.Errorf("timed out after %s waiting for %s of %s%s", w.timeout, what, o.objectName, more)
}

// errNotYet is the answer of a single look.
var errNotYet = errors.New("not yet")

// await watches until an object is as is wanted, or looks once, and says whether there was the object at last. One that does not exist yet
// is waited for.
func await(ctx context.Context, c *api.Client, o awaitedObject, reached awaited, once bool) (exists bool, err error) {
	is := func(object map[string]any) bool {
		u := unstructured.Unstructured{Object: object}
		return u.GetNamespace() == o.namespace && u.GetName() == o.name
	}
	check := func(object map[string]any) error {
		exists = object != nil
		ok, err := reached(object)
		if ok {
			err = errReached
		}
		return err
	}
	kind := anyKind(o.kind)
	watch, err := kind.Watch(ctx, c)
	if err != nil {
		return false, err
	}
	defer watch.Close()
	// What is not there sends no event. What goes from here on does.
	all, err := kind.List(ctx, c)
	if err != nil {
		return false, err
	}
	var now map[string]any
	for _, object := range all {
		if is(object) {
			now = object
		}
	}
	err = check(now)
	if err == nil && once {
		return exists, errNotYet
	}
	if err == nil {
		err = watch.Each(func(e objects.Change[map[string]any]) error {
			switch {
			case !is(e.Object):
				return nil
			case e.Type == "DELETED":
				return check(nil)
			}
			return check(e.Object)
		})
	}
	if errors.Is(err, errReached) {
		return exists, nil
	}
	if err == nil {
		err = ctx.Err()
	}
	return exists, err
}
