// Package forms reads the short forms of compose files: names, commands, times, sizes, ports.
package forms

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Label is text as the name of a pod, a container, a volume or a Service: a DNS label. ok is false when nothing of it can stand in one.
func Label(text string) (name string, ok bool) {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(text)) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
		}
	}
	name = strings.Trim(b.String(), "-")
	if len(name) > validation.DNS1123LabelMaxLength {
		name = strings.Trim(name[:validation.DNS1123LabelMaxLength], "-")
	}
	return name, name != ""
}

// Words splits a command as a shell does that fills in nothing.
func Words(text string) ([]string, error) {
	var out []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			if quote == '"' && !strings.ContainsRune(`"\$`+"`\n", rune(text[i])) {
				word.WriteByte('\\')
			}
			if text[i] != '\n' {
				word.WriteByte(text[i])
			}
			in = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				out = append(out, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}

// Literal writes text for a field in which Kubernetes fills in $(NAME), so that it stays as it is.
func Literal(text string) string {
	return strings.NewReplacer("$$", "$$$$", "$(", "$$(").Replace(text)
}

// Literals are texts as Literal writes them.
func Literals(texts []string) (out []string) {
	for _, t := range texts {
		out = append(out, Literal(t))
	}
	return out
}

// Duration reads compose's times: 1m30s, 2d.
func Duration(text string) (time.Duration, error) {
	rest, days := text, time.Duration(0)
	for _, unit := range []struct {
		name string
		d    time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		if before, after, ok := strings.Cut(rest, unit.name); ok {
			n, err := strconv.Atoi(before)
			if err != nil || n < 0 || n > 10_000 {
				return 0, fmt.Errorf("%q is no time; write it like 1m30s", text)
			}
			days, rest = days+time.Duration(n)*unit.d, after
		}
	}
	if rest == "" && days > 0 || text == "0" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no time; write it like 1m30s", text)
	}
	return days + d, nil
}

// Seconds are whole ones, at least the least, rounded up.
func Seconds(d time.Duration, least int32) int32 {
	return max(least, int32(min(math.Ceil(d.Seconds()), math.MaxInt32)))
}

// Size reads compose's sizes, which count in 1024: 64m, 1.5gb, 1024.
func Size(text string) (*resource.Quantity, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "b"), "i")
	factor := 1.0
	if t != "" {
		if i := strings.IndexByte("kmgtp", t[len(t)-1]); i >= 0 {
			factor, t = math.Pow(1024, float64(i+1)), strings.TrimSpace(t[:len(t)-1])
		}
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || n < 0 || n*factor > math.MaxInt64/2 || math.IsNaN(n) {
		return nil, fmt.Errorf("%q is no size; write it like 64m", text)
	}
	return resource.NewQuantity(int64(n*factor), resource.BinarySI), nil
}

// CPUs reads a number of CPUs: 0.5.
func CPUs(text string) (*resource.Quantity, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e6 || math.IsNaN(n) {
		return nil, fmt.Errorf("%q is no number of CPUs; write it like 0.5", text)
	}
	return resource.NewMilliQuantity(int64(math.Ceil(n*1000)), resource.DecimalSI), nil
}

// Published is a port of a container, and where the machine has it.
type Published struct {
	Container int32
	Protocol  v1.Protocol
	// Host is zero where any port would do.
	Host int32
	IP   string
}

// maxPorts bounds a range of ports.
const maxPorts = 1000

// Ports reads the short form: [[ip:]published:]container[/protocol], where both may be ranges.
func Ports(text string) (out []Published, err error) {
	rest, protocol, _ := strings.Cut(text, "/")
	p := Published{Protocol: v1.ProtocolTCP}
	if protocol != "" {
		if p.Protocol, err = Protocol(protocol); err != nil {
			return nil, err
		}
	}
	host := ""
	container := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, container = rest[:i], rest[i+1:]
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			p.IP, host = strings.Trim(host[:i], "[]"), host[i+1:]
			if p.IP, err = Address(p.IP); err != nil {
				return nil, err
			}
		}
	}
	return Spread(p, host, container)
}

// Address is that of the machine on which a port is open; empty where it is all.
func Address(ip string) (string, error) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "", fmt.Errorf("%q is no address of the machine", ip)
	}
	if a.IsUnspecified() {
		return "", nil
	}
	return a.String(), nil
}

// Protocol is one that a pod can have.
func Protocol(text string) (v1.Protocol, error) {
	switch p := v1.Protocol(strings.ToUpper(text)); p {
	case v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP:
		return p, nil
	}
	return "", fmt.Errorf("the protocol %q is none of tcp, udp and sctp", text)
}

// Spread makes one entry of each port of two ranges.
func Spread(p Published, host, container string) ([]Published, error) {
	first, last, err := portRange(container)
	if err != nil {
		return nil, err
	}
	var hostFirst, hostLast int32
	if host != "" {
		if hostFirst, hostLast, err = portRange(host); err != nil {
			return nil, err
		}
		if hostLast-hostFirst != last-first && first != last {
			return nil, fmt.Errorf("the ranges %s and %s are not of one length", host, container)
		}
	}
	var out []Published
	for i := int32(0); i <= last-first; i++ {
		p.Container = first + i
		if host != "" {
			p.Host = hostFirst + i
		}
		out = append(out, p)
	}
	return out, nil
}

func portRange(text string) (first, last int32, err error) {
	a, b, ranged := strings.Cut(text, "-")
	if !ranged {
		b = a
	}
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || x == 0 || y < x || y-x >= maxPorts {
		return 0, 0, fmt.Errorf("%q is no port, or no range of %d ports at most", text, maxPorts)
	}
	return int32(x), int32(y), nil
}
