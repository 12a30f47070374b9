package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/solopod/solopod/api"
)

// following prints changes of objects, a row or an object for each.
type following struct {
	*selection
	out     io.Writer
	form    output
	several bool
	header  *kind             // whose columns were named last
	last    map[string]string // the rows, by what they are of
}

// changed is a change of an object.
type changed struct {
	kind *kind
	how  string
	item item
}

// follow prints what there is and goes on with what changes, until the command is interrupted.
func (s *selection) follow(cmd *cobra.Command, c *api.Client, targets []requested, form output) error {
	if s.sortBy != "" {
		return errors.New("--sort-by sorts a list, and -w prints changes as they come: leave one of them out")
	}
	matching := make([]func(item) bool, len(targets))
	for i, t := range targets {
		if t.kind.watch == nil {
			return fmt.Errorf("changes of %s cannot be watched; leave -w out", t.kind.plural)
		}
		var err error
		if matching[i], err = s.filter(t.kind, t.names); err != nil {
			return err
		}
	}
	for _, t := range targets {
		if len(t.names) == 0 {
			continue
		}
		_, _, missing, err := s.chosen(cmd.Context(), c, t)
		if err != nil {
			return err
		}
		for _, gone := range missing {
			fmt.Fprintf(cmd.ErrOrStderr(), "%v; it is shown when it comes\n", gone)
		}
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	changes := make(chan changed)
	for n, t := range targets {
		group.Go(func() error {
			return t.kind.watch(ctx, c, func(how string, i item) error {
				if !matching[n](i) {
					return nil
				}
				select {
				case changes <- changed{t.kind, how, i}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}
	ended := make(chan error, 1)
	go func() {
		ended <- group.Wait()
		close(changes)
	}()
	w := &following{selection: s, out: cmd.OutOrStdout(), form: form, several: len(targets) > 1, last: map[string]string{}}
	var failed error
	for e := range changes {
		if failed == nil {
			if failed = w.print(e); failed != nil {
				stop()
			}
		}
	}
	if err := <-ended; failed == nil && cmd.Context().Err() == nil {
		failed = err
	}
	return failed
}

func (w *following) print(e changed) error {
	k, i := e.kind, e.item
	if !w.form.table() {
		v := i.object
		if w.changeKinds && w.form.name != "name" {
			v = map[string]any{"type": e.how, "object": i.object}
		}
		return w.form.print(w.out, v, []string{k.name(i)})
	}
	t := w.rows(k, []item{i}, w.several)
	t.fixed = true
	id, row := strings.Join([]string{k.plural, i.meta.Namespace, i.meta.Name, string(i.meta.UID)}, "/"), withoutAge(t)
	switch {
	case k.plural == eventsPlural: // each is another one, and none is kept
	case e.how == deleted:
		delete(w.last, id)
	case w.last[id] == row:
		return nil // only something that the table does not show has changed
	default:
		w.last[id] = row
	}
	if w.changeKinds {
		t.header, t.rows[0] = slices.Insert(t.header, 0, "EVENT"), slices.Insert(t.rows[0], 0, e.how)
		t.painted++
	}
	if w.header == k || w.noHeaders {
		t.header = nil
	}
	w.header = k
	return t.write(w.out)
}

const deleted = "DELETED"

// withoutAge is the first row but for what changes by itself.
func withoutAge(t table) string {
	var cells []string
	for i, cell := range t.rows[0] {
		if t.header[i] != "AGE" {
			cells = append(cells, cell)
		}
	}
	return strings.Join(cells, "\t")
}
