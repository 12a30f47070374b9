package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/nft"
)

// A packet passes a hook when no chain there forbids it: an accept in a chain of our own does not help against a drop in another. So what
// forbids is looked for, and our rules go there: behind all that its owner has decided about single packets, and before the end, which is the
// chain's policy, or a rule that drops or rejects all that is left.

// door is what chains at a hook are to let pass.
type door struct {
	hook    *nftables.ChainHook
	comment string
	// forbids says what a chain forbids, without whom.
	forbids string
	rules   func(chain *nftables.Chain) [][]expr.Any
	advice  func(chains []*nftables.Chain) string
}

// Open finds the chains that forbid the bridge's traffic, and allows there what pods send, what answers them, and what comes by a host
// port. It says which chains had to be changed, and what keeps them so; nothing when all are as they should be.
func Open(bridge string) (told []string, err error) { return forwarding(bridge).open() }

// Close removes what Open has added.
func Close(bridge string) error { return forwarding(bridge).close() }

func forwarding(bridge string) door {
	return door{
		hook: nftables.ChainHookForward, comment: comment(bridge), forbids: "forward packets",
		rules:  func(chain *nftables.Chain) [][]expr.Any { return accepts(chain, bridge) },
		advice: func(chains []*nftables.Chain) string { return advice(chains, bridge) },
	}
}

func (d door) open() (told []string, err error) {
	c, chains, err := d.chains()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, chain := range chains {
		if !d.passes(chain) {
			continue
		}
		rules, err := rulesOf(chain.Table, chain.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		changed, err := d.openChain(c, chain, rules)
		if errors.Is(err, unix.ENOENT) {
			continue // its owner changes it at this moment, and the kernel tells of that
		}
		if err != nil {
			err = fmt.Errorf("chain %s of table %s %s forbids to %s, and cannot be changed: %w; %s",
				chain.Name, familyName(chain.Table), chain.Table.Name, d.forbids, err, d.advice(chains))
		}
		errs = append(errs, err)
		if changed {
			told = append(told, fmt.Sprintf("chain %s of table %s %s forbids to %s; rules that allow it for pods were added at its end. %s",
				chain.Name, familyName(chain.Table), chain.Table.Name, d.forbids, d.advice(chains)))
		}
	}
	return told, errors.Join(errs...)
}

func (d door) chains() (*nftables.Conn, []*nftables.Chain, error) {
	c, err := nft.Dial()
	if err != nil {
		return nil, nil, err
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot list the chains of nftables: %w", err)
	}
	return c, chains, nil
}

func (d door) close() error {
	c, chains, err := d.chains()
	if err != nil {
		return err
	}
	var errs []error
	for _, chain := range chains {
		if !d.passes(chain) {
			continue
		}
		rules, err := rulesOf(chain.Table, chain.Name)
		if err == nil && d.removeOurs(c, chain, rules) > 0 {
			err = c.Flush()
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("cannot remove rules from chain %s: %w", chain.Name, err))
		}
	}
	return errors.Join(errs...)
}

// passes: packets at the hook pass the chain, which may end their way.
func (d door) passes(c *nftables.Chain) bool {
	return c.Hooknum != nil && *c.Hooknum == *d.hook && c.Type == nftables.ChainTypeFilter &&
		slices.Contains([]nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet}, c.Table.Family)
}

// openChain adds the rules where the chain forbids and does not have them.
func (d door) openChain(c *nftables.Conn, chain *nftables.Chain, rules []rule) (changed bool, err error) {
	end := slices.IndexFunc(rules, func(r rule) bool {
		return r.forbidsAll(func(other string) bool { return beginsForbidding(chain.Table, other) })
	})
	if end < 0 && (chain.Policy == nil || *chain.Policy != nftables.ChainPolicyDrop) {
		return false, nil
	}
	wanted := d.rules(chain)
	before := rules
	if end >= 0 {
		before = rules[:end]
	}
	if has := slices.DeleteFunc(slices.Clone(before), func(r rule) bool { return !r.has(d.comment) }); len(has) == len(wanted) {
		return false, nil
	}
	d.removeOurs(c, chain, rules)
	for _, exprs := range wanted {
		r := &nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs, UserData: mark(d.comment)}
		if end < 0 {
			c.AddRule(r)
			continue
		}
		r.Position = rules[end].handle
		c.InsertRule(r)
	}
	return true, c.Flush()
}

// removeOurs asks c to delete our rules, and returns how many there are.
func (d door) removeOurs(c *nftables.Conn, chain *nftables.Chain, rules []rule) (n int) {
	for _, r := range rules {
		if r.has(d.comment) {
			n++
			c.DelRule(&nftables.Rule{Table: chain.Table, Chain: chain, Handle: r.handle}) //nolint:errcheck // it has a handle, and Flush tells the rest
		}
	}
	return n
}

func comment(bridge string) string { return "Solopod: pods of " + bridge }

// beginsForbidding: whoever comes to the chain gets no further, as in ufw's for a policy that is to reject.
func beginsForbidding(t *nftables.Table, chain string) bool {
	rules, err := rulesOf(t, chain)
	return err == nil && len(rules) > 0 && rules[0].forbidsAll(func(string) bool { return false })
}

// accepts are the rules. Where a chain is iptables-nft's they have the form that it can read, or it would refuse the whole table.
func accepts(chain *nftables.Chain, bridge string) [][]expr.Any {
	from, to := matchInterface(expr.MetaKeyIIFNAME, bridge), matchInterface(expr.MetaKeyOIFNAME, bridge)
	accept := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}
	if chain.Table.Family != nftables.TableFamilyINet && chain.Table.Name == "filter" && chain.Name == "FORWARD" {
		// xt_conntrack.h and nf_conntrack_common.h: ESTABLISHED, RELATED, DNAT
		const states = 1<<1 | 1<<2 | 1<<7
		known := &expr.Match{Name: "conntrack", Rev: 3, Info: &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{
			ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: uint16(xt.ConntrackState)}, StateMask: states,
		}}}
		return [][]expr.Any{nft.Join(from, accept), nft.Join(to, []expr.Any{known}, accept)}
	}
	return [][]expr.Any{
		nft.Join(from, accept),
		nft.Join(to, matchCt(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept),
		nft.Join(to, matchForwarded(), accept),
	}
}

// matchInterface compares a name as a whole.
func matchInterface(key expr.MetaKey, name string) []expr.Any {
	return nft.Meta(key, nft.Interface(name))
}

func familyName(t *nftables.Table) string {
	switch t.Family {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "inet"
}

// advice says how to tell it to who wrote the chains.
func advice(chains []*nftables.Chain, bridge string) string {
	var out []string
	has := func(match func(c *nftables.Chain) bool) bool { return slices.ContainsFunc(chains, match) }
	if has(func(c *nftables.Chain) bool { return strings.HasPrefix(c.Name, "ufw-") }) {
		out = append(out, fmt.Sprintf("ufw: 'ufw route allow in on %[1]s' and 'ufw route allow out on %[1]s'", bridge))
	}
	if has(func(c *nftables.Chain) bool { return c.Table.Name == "firewalld" }) {
		out = append(out, fmt.Sprintf("firewalld: 'firewall-cmd --permanent --zone=trusted --add-interface=%s', then 'firewall-cmd --reload'", bridge))
	}
	if has(func(c *nftables.Chain) bool { return c.Name == "DOCKER-USER" }) {
		out = append(out, fmt.Sprintf("Docker: 'iptables -I DOCKER-USER -i %[1]s -j ACCEPT' and 'iptables -I DOCKER-USER -o %[1]s -j ACCEPT'", bridge))
	}
	if len(out) == 0 {
		return fmt.Sprintf("Better, allow in the firewall's own configuration what comes from and goes to the interface %s", bridge)
	}
	return "Better, tell the firewall: " + strings.Join(out, "; ")
}
