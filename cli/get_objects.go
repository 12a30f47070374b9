package cli

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/objects"
)

// listed is a kind of objects that a daemon lists, with their Go type.
type listed[T any] struct {
	kind
	from api.Kind[T]
	meta func(*T) *metav1.ObjectMeta
	// rows has a row for each object, and says is what completion says of one.
	rows func(s *selection, list []*T) table
	says func(*T) string
	// description writes down an object; nil means as YAML.
	description func(context.Context, *api.Client, *describer, *T) error
}

// asKind is the kind without its Go type.
func (l listed[T]) asKind() *kind {
	k := l.kind
	k.list = func(ctx context.Context, c *api.Client) ([]item, error) {
		all, err := l.from.List(ctx, c)
		return l.items(all), err
	}
	k.watch = func(ctx context.Context, c *api.Client, each func(string, item) error) error {
		watch, err := l.from.Watch(ctx, c)
		if err != nil {
			return err
		}
		return watch.Each(func(e objects.Change[T]) error { return each(e.Type, item{l.meta(&e.Object), &e.Object}) })
	}
	k.table = func(s *selection, list []item) table {
		of := make([]*T, len(list))
		for i := range list {
			of[i] = list[i].object.(*T)
		}
		return l.rows(s, of)
	}
	k.told = func(i item) string {
		if l.says == nil {
			return ""
		}
		return l.says(i.object.(*T))
	}
	if l.description != nil {
		k.describe = func(ctx context.Context, c *api.Client, d *describer, i item) error {
			return l.description(ctx, c, d, i.object.(*T))
		}
	}
	return &k
}

func (l listed[T]) items(all []T) []item {
	out := make([]item, len(all))
	for i := range all {
		out[i] = item{l.meta(&all[i]), &all[i]}
	}
	return out
}

// filter says which objects of a kind are selected, by namespace, name, labels and fields.
func (s *selection) filter(k *kind, names []string) (func(item) bool, error) {
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return nil, fmt.Errorf("-l: %w", err)
	}
	matches, err := s.fieldFilter(k)
	if err != nil {
		return nil, err
	}
	return func(i item) bool {
		return s.reaches(k, i) && (len(names) == 0 || slices.Contains(names, i.meta.Name)) && selector.Matches(labels.Set(i.meta.Labels)) && matches(i)
	}, nil
}

// reaches says whether an object lies where the command looks.
func (s *selection) reaches(k *kind, i item) bool {
	// What happens to manifests and to the machine lies in no namespace; it belongs into every answer. So do processes of no pod, but where
	// somebody asks for those of a namespace.
	ofNone := k.plural == eventsPlural || k.plural == oomsPlural && !s.named
	return s.all || k.cluster || i.meta.Namespace == s.namespace || i.meta.Namespace == "" && ofNone
}

// chosen are the objects that are selected, and all there are. missing says which of the names were not found, and where they are.
func (s *selection) chosen(ctx context.Context, c *api.Client, t requested) (selected, all []item, missing []error, err error) {
	matches, err := s.filter(t.kind, t.names)
	if err != nil {
		return nil, nil, nil, err
	}
	if all, err = t.kind.list(ctx, c); err != nil {
		return nil, nil, nil, err
	}
	for _, i := range all {
		if matches(i) {
			selected = append(selected, i)
		}
	}
	for _, name := range t.names {
		if !slices.ContainsFunc(selected, func(i item) bool { return i.meta.Name == name }) {
			missing = append(missing, s.missing(t.kind, all, name))
		}
	}
	return selected, all, missing, nil
}

// missing says that an object was not found, and in which other namespace one of that name is.
func (s *selection) missing(k *kind, all []item, name string) error {
	if k.cluster {
		return fmt.Errorf("%s %q not found", k.plural, name)
	}
	for _, i := range all {
		if i.meta.Name != name {
			continue
		}
		if s.reaches(k, i) {
			return fmt.Errorf("%s %q is not what was asked for%s", k.plural, name, s.asked())
		}
		if i.meta.Namespace == "" {
			return fmt.Errorf("%s %q not found in namespace %s; there is one that lies in none: leave -n away", k.plural, name, s.namespace)
		}
		return fmt.Errorf("%s %q not found in namespace %s; there is one in namespace %s: use -n %[4]s", k.plural, name, s.namespace, i.meta.Namespace)
	}
	if s.all {
		return fmt.Errorf("%s %q not found in any namespace", k.plural, name)
	}
	return fmt.Errorf("%s %q not found in namespace %s", k.plural, name, s.namespace)
}

// asked repeats what objects were selected by.
func (s *selection) asked() string {
	out := ""
	if s.selector != "" {
		out += " with the labels " + s.selector
	}
	if s.fields != "" {
		if out != "" {
			out += " and"
		}
		out += " with the fields " + s.fields
	}
	return out
}

// where says where nothing was found, and how much is elsewhere.
func (s *selection) where(k *kind, all []item) string {
	if s.all || k.cluster {
		return ""
	}
	others := 0
	for _, i := range all {
		if !s.reaches(k, i) {
			others++
		}
	}
	if others == 0 {
		return " in namespace " + s.namespace
	}
	return fmt.Sprintf(" in namespace %s (%d in other namespaces: use -A)", s.namespace, others)
}
