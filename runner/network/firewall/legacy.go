package firewall

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/solopod/solopod/runner/foreign"
)

// legacyLimit bounds a call of iptables-legacy, which may wait for another one.
const legacyLimit = 5 * time.Second

// legacy are the programs that change the tables of iptables from before nftables. The kernel tells nobody of a change there.
var legacy = map[string]string{ // file of /proc/thread-self/net -> program
	"ip_tables_names": "iptables-legacy", "ip6_tables_names": "ip6tables-legacy",
}

// legacyDoor is what a chain of these tables is to let pass.
type legacyDoor struct {
	chain, comment string
	// forbids says what the chain forbids, without whom.
	forbids string
	// rules are for a program.
	rules  func(program string) [][]string
	advice string
}

// OpenLegacy is Open for these tables.
func OpenLegacy(ctx context.Context, bridge string) (told []string, err error) {
	return legacyForwarding(bridge).open(ctx)
}

// CloseLegacy removes what OpenLegacy has added.
func CloseLegacy(ctx context.Context, bridge string) error {
	return legacyForwarding(bridge).close(ctx)
}

func legacyForwarding(bridge string) legacyDoor {
	return legacyDoor{
		chain: "FORWARD", comment: comment(bridge), forbids: "forward packets",
		rules: func(string) [][]string { return legacyAccepts(bridge) }, advice: advice(nil, bridge),
	}
}

func (d legacyDoor) open(ctx context.Context) (told []string, err error) {
	return told, eachLegacy(ctx, func(ctx context.Context, program string) error {
		list, err := run(ctx, program, "-S")
		if err != nil {
			return err
		}
		rules := legacyChain(list, d.chain)
		if len(rules) == 0 {
			return fmt.Errorf("%s names no chain %s", program, d.chain)
		}
		forbidsAll := func(rule string) bool { return legacyForbidsAll(rule, list) }
		end := slices.IndexFunc(rules, forbidsAll) // the first line is the policy
		if end < 0 && rules[0] != "-P "+d.chain+" DROP" {
			return nil
		}
		before := rules
		if end >= 0 {
			before = rules[:end]
		}
		wanted := d.rules(program)
		has := slices.DeleteFunc(slices.Clone(before), func(r string) bool { return !d.owns(r) })
		if len(has) == len(wanted) {
			return nil
		}
		if err := d.remove(ctx, program, rules); err != nil {
			return err
		}
		rules = slices.DeleteFunc(rules, d.owns)
		end = slices.IndexFunc(rules, forbidsAll)
		for i, rule := range wanted {
			how := []string{"-A", d.chain}
			if end >= 0 {
				how = []string{"-I", d.chain, fmt.Sprint(end + i)} // the policy has the number 0
			}
			if _, err := run(ctx, program, append(how, d.marked(rule)...)...); err != nil {
				return err
			}
		}
		told = append(told, fmt.Sprintf("chain %s of %s forbids to %s; rules that allow it for pods were added at its end. %s", d.chain, program, d.forbids, d.advice))
		return nil
	})
}

func (d legacyDoor) close(ctx context.Context) error {
	return eachLegacy(ctx, func(ctx context.Context, program string) error {
		list, err := run(ctx, program, "-S", d.chain)
		if err != nil {
			return err
		}
		return d.remove(ctx, program, strings.Split(list, "\n"))
	})
}

// owns says whether a rule, as the program lists it, is ours.
func (d legacyDoor) owns(rule string) bool { return strings.Contains(rule, strconv.Quote(d.comment)) }

func (d legacyDoor) marked(rule []string) []string {
	return append(slices.Clone(rule), "-m", "comment", "--comment", d.comment, "-j", "ACCEPT")
}

// remove deletes our rules among those of the chain, the last first: that changes the numbers of none that is to follow. The first line is the
// policy.
func (d legacyDoor) remove(ctx context.Context, program string, rules []string) error {
	for n, r := range slices.Backward(rules) {
		if !d.owns(r) {
			continue
		}
		if _, err := run(ctx, program, "-D", d.chain, fmt.Sprint(n)); err != nil {
			return err
		}
	}
	return nil
}

// legacyChain are the lines of a list that tell of a chain.
func legacyChain(list, name string) (lines []string) {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		for _, kind := range []string{"-P ", "-N ", "-A "} {
			if rest, ok := strings.CutPrefix(line, kind+name); ok && (rest == "" || rest[0] == ' ') {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// legacyForbidsAll: the rule has no condition, and drops or rejects, or leads to a chain of the list that does with its first rule.
func legacyForbidsAll(rule, list string) bool {
	fields := strings.Fields(rule)
	if len(fields) < 4 || fields[0] != "-A" || fields[2] != "-j" && fields[2] != "-g" {
		return false
	}
	switch target := fields[3]; {
	case target == "DROP", target == "REJECT":
		return true
	case len(fields) > 4 || list == "":
		return false
	default:
		lines := legacyChain(list, target) // the first line says that there is such a chain
		return len(lines) > 1 && legacyForbidsAll(lines[1], "")
	}
}

func legacyAccepts(bridge string) [][]string {
	return [][]string{{"-i", bridge}, {"-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED,DNAT"}}
}

// OpenLegacy is Open for these tables.
func (n Names) OpenLegacy(ctx context.Context) (told []string, err error) {
	return n.legacyDoor().open(ctx)
}

// CloseLegacy removes what OpenLegacy has added.
func (n Names) CloseLegacy(ctx context.Context) error { return n.legacyDoor().close(ctx) }

func (n Names) legacyDoor() legacyDoor {
	return legacyDoor{chain: "INPUT", comment: n.comment(), forbids: "ask the machine for names", rules: n.legacyRules, advice: n.advice(nil)}
}

func (n Names) legacyRules(program string) (rules [][]string) {
	for _, name := range n.Interfaces {
		for _, ip := range n.Addresses {
			if ip.Is4() != (program == "iptables-legacy") {
				continue
			}
			for _, protocol := range []string{"udp", "tcp"} {
				rules = append(rules, []string{"-i", name, "-d", ip.String(), "-p", protocol, "-m", protocol, "--dport", fmt.Sprint(port)})
			}
		}
	}
	return rules
}

// eachLegacy calls do for each program whose filter table is in use: asking would make the table.
func eachLegacy(ctx context.Context, do func(ctx context.Context, program string) error) error {
	var errs []error
	for names, program := range legacy {
		tables, err := foreign.ReadKernel("/proc/thread-self/net/" + names)
		if err != nil || !slices.Contains(strings.Fields(string(tables)), "filter") {
			continue // the kernel has no such tables
		}
		limited, cancel := context.WithTimeout(ctx, legacyLimit)
		if err := do(limited, program); err != nil && !errors.Is(err, exec.ErrNotFound) {
			errs = append(errs, err)
		}
		cancel()
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"-w", "2"}, args...)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
