package network

import (
	"context"
	"errors"
	"log/slog"

	"github.com/solopod/solopod/runner/network/firewall"
)

// opening is what the machine's firewalls are to let pass.
type opening interface {
	Empty() bool
	Open() (told []string, err error)
	OpenLegacy(ctx context.Context) (told []string, err error)
	Close() error
	CloseLegacy(ctx context.Context) error
}

// asked is what firewalls were asked to let pass last; nothing before they were asked for anything.
type asked[T interface {
	opening
	Equal(T) bool
}] struct{ last *T }

// again says whether they must be asked: for something, since others may have taken it back, unless onlyNew says that only what was not asked
// before counts; and for nothing as long as there may be something.
func (a *asked[T]) again(now T, onlyNew bool) bool {
	same := a.last != nil && (*a.last).Equal(now)
	a.last = &now
	return !same || !onlyNew && !now.Empty()
}

// openAsked has what services and policies need pass the machine's firewalls, or takes back what let it.
func (n *Network) openAsked(ctx context.Context, onlyNew bool) (changed bool) {
	n.change(ctx, func() { // who is asked for something at the same time waits for it, and knows what is wanted then
		if names, ask := n.serving.asks(ctx, onlyNew); ask {
			changed = n.pass(ctx, names, NamesBlocked, "pods may not be able to ask for names: ")
		}
		if beside, ask := n.routing.asks(onlyNew); ask {
			changed = n.pass(ctx, beside, BesideBlocked, "pods of one bridge may not reach each other: ") || changed
		}
	})
	return changed
}

// pass is called by change.
func (n *Network) pass(ctx context.Context, o opening, reason, trouble string) (changed bool) {
	if o.Empty() {
		if err := errors.Join(o.Close(), o.CloseLegacy(ctx)); err != nil {
			slog.Warn("rules for pods are left behind in a firewall", "err", err)
		}
		n.trouble(reason, "")
		return false
	}
	told, err := o.Open()
	told2, err2 := o.OpenLegacy(ctx)
	for _, message := range append(told, told2...) {
		n.say(reason, message)
		changed = true
	}
	message := ""
	if err = errors.Join(err, err2); err != nil && ctx.Err() == nil {
		message = trouble + err.Error()
	}
	n.trouble(reason, message)
	return changed
}

// asks says what firewalls are to let pass of pods' questions for names.
func (v *serving) asks(ctx context.Context, onlyNew bool) (names firewall.Names, ask bool) {
	err := v.turn.Do(ctx, func() error {
		if !v.begun {
			return nil
		}
		names = firewall.Names{Bridge: v.own.Name}
		if !v.now.empty() && len(v.now.Names) > 0 {
			names.Addresses = v.now.Names
			names.Interfaces = append(v.routing.namesOfBridges(), v.own.Name)
		}
		ask = v.names.again(names, onlyNew)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		slog.Warn("what pods need to ask for names is not opened in the machine's firewalls", "err", err)
	}
	return names, ask
}

// asks says what firewalls are to let pass of what pods send to pods beside them.
func (r *routing) asks(onlyNew bool) (beside firewall.Beside, ask bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		return beside, false
	}
	beside = firewall.Beside{Bridge: r.own.Name}
	if !r.written.Empty() {
		bridges, err := r.bridges()
		if err != nil {
			slog.Debug("it cannot be seen on which bridges pods are", "err", err)
		}
		for _, b := range bridges {
			beside.Interfaces = append(beside.Interfaces, b.name)
		}
	}
	return beside, r.beside.again(beside, onlyNew)
}
