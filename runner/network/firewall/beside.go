package firewall

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Beside is what pods on a bridge of others need to reach each other when their packets are routed: before that a bridge passed them on, which
// no firewall sees without br_netfilter.
type Beside struct {
	// Bridge is the name of the own bridge, Interfaces those of the bridges.
	Bridge     string
	Interfaces []string
}

// Empty says whether there is no such bridge.
func (b Beside) Empty() bool { return len(b.Interfaces) == 0 }

// Equal says whether both are the same.
func (b Beside) Equal(o Beside) bool {
	return b.Bridge == o.Bridge && slices.Equal(b.Interfaces, o.Interfaces)
}

// Open is Open for these bridges, and for what stays on one of them.
func (b Beside) Open() (told []string, err error) { return b.door().open() }

// Close removes what Open has added.
func (b Beside) Close() error { return b.door().close() }

// OpenLegacy is Open for the tables of iptables from before nftables.
func (b Beside) OpenLegacy(ctx context.Context) (told []string, err error) {
	return b.legacyDoor().open(ctx)
}

// CloseLegacy removes what OpenLegacy has added.
func (b Beside) CloseLegacy(ctx context.Context) error { return b.legacyDoor().close(ctx) }

func (b Beside) comment() string { return "Solopod: pods beside each other, by " + b.Bridge }

func (b Beside) advice() string {
	return fmt.Sprintf("Better, allow in the firewall's own configuration what comes from and goes to the same of the interfaces %s", strings.Join(b.Interfaces, " and "))
}

func (b Beside) door() door {
	return door{
		hook: nftables.ChainHookForward, comment: b.comment(), forbids: "forward packets",
		rules: func(*nftables.Chain) (rules [][]expr.Any) {
			for _, name := range b.Interfaces {
				rules = append(rules, append(append(matchInterface(expr.MetaKeyIIFNAME, name), matchInterface(expr.MetaKeyOIFNAME, name)...),
					&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}))
			}
			return rules
		},
		advice: func([]*nftables.Chain) string { return b.advice() },
	}
}

func (b Beside) legacyDoor() legacyDoor {
	return legacyDoor{
		chain: "FORWARD", comment: b.comment(), forbids: "forward packets", advice: b.advice(),
		rules: func(string) (rules [][]string) {
			for _, name := range b.Interfaces {
				rules = append(rules, []string{"-i", name, "-o", name})
			}
			return rules
		},
	}
}
