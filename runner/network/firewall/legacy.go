package firewall

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
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

// OpenLegacy is Open for these tables.
func OpenLegacy(ctx context.Context, bridge string) (told []string, err error) {
	return told, eachLegacy(ctx, func(ctx context.Context, program string) error {
		list, err := run(ctx, program, "-S")
		if err != nil {
			return err
		}
		rules := legacyChain(list, "FORWARD")
		if len(rules) == 0 {
			return fmt.Errorf("%s names no chain FORWARD", program)
		}
		forbidsAll := func(rule string) bool { return legacyForbidsAll(rule, list) }
		end := slices.IndexFunc(rules, forbidsAll) // the first line is the policy
		if end < 0 && rules[0] != "-P FORWARD DROP" {
			return nil
		}
		before := rules
		if end >= 0 {
			before = rules[:end]
		}
		wanted := legacyAccepts(bridge)
		has := slices.DeleteFunc(slices.Clone(before), func(r string) bool { return !strings.Contains(r, comment(bridge)) })
		if len(has) == len(wanted) {
			return nil
		}
		if err := closeLegacy(ctx, program, rules, bridge); err != nil {
			return err
		}
		rules = slices.DeleteFunc(rules, func(r string) bool { return strings.Contains(r, comment(bridge)) })
		end = slices.IndexFunc(rules, forbidsAll)
		for i, rule := range wanted {
			how := []string{"-A", "FORWARD"}
			if end >= 0 {
				how = []string{"-I", "FORWARD", fmt.Sprint(end + i)} // the policy has the number 0
			}
			if _, err := run(ctx, program, append(how, rule...)...); err != nil {
				return err
			}
		}
		told = append(told, fmt.Sprintf("chain FORWARD of %s forbids to forward packets; rules that allow it for pods were added at its end. %s", program, advice(nil, bridge)))
		return nil
	})
}

// CloseLegacy removes what OpenLegacy has added.
func CloseLegacy(ctx context.Context, bridge string) error {
	return eachLegacy(ctx, func(ctx context.Context, program string) error {
		list, err := run(ctx, program, "-S", "FORWARD")
		if err != nil {
			return err
		}
		return closeLegacy(ctx, program, strings.Split(list, "\n"), bridge)
	})
}

func closeLegacy(ctx context.Context, program string, rules []string, bridge string) error {
	for _, rule := range legacyAccepts(bridge) {
		for _, r := range rules {
			if !strings.HasPrefix(r, "-A FORWARD "+rule[0]+" "+bridge+" ") || !strings.Contains(r, comment(bridge)) {
				continue
			}
			if _, err := run(ctx, program, append([]string{"-D", "FORWARD"}, rule...)...); err != nil {
				return err
			}
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
	end := []string{"-m", "comment", "--comment", comment(bridge), "-j", "ACCEPT"}
	return [][]string{
		append([]string{"-i", bridge}, end...),
		append([]string{"-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED,DNAT"}, end...),
	}
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
