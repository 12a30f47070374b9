package firewall

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attr is an attribute, as the kernel pads it.
func attr(kind uint16, values ...string) string {
	value := strings.Join(values, "")
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return string(b) + value + strings.Repeat("\x00", (4-len(value)%4)%4)
}

func expressionOf(name string, data ...string) string {
	return attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, attr(unix.NFTA_EXPR_NAME, name+"\x00"), attr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data...))
}

func verdict(code string) string {
	return expressionOf("immediate", attr(unix.NFTA_IMMEDIATE_DREG, "\x00\x00\x00\x00"),
		attr(unix.NFTA_IMMEDIATE_DATA|unix.NLA_F_NESTED, attr(unix.NFTA_DATA_VERDICT|unix.NLA_F_NESTED, attr(unix.NFTA_VERDICT_CODE, code))))
}

func message(userData string, expressions ...string) []byte {
	return []byte("\x02\x00\x00\x00" + attr(unix.NFTA_RULE_HANDLE, "\x00\x00\x00\x00\x00\x00\x00\x07") +
		attr(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, expressions...) + attr(unix.NFTA_RULE_USERDATA, userData))
}

// Which rules forbid all that is left, and which are ours.
func TestRule(t *testing.T) {
	const drop, accept = "\x00\x00\x00\x00", "\x00\x00\x00\x01"
	counter := expressionOf("counter", attr(unix.NFTA_COUNTER_BYTES, "12345678"))
	for name, c := range map[string]struct {
		message      []byte
		forbids, own bool
	}{
		"drop":                  {message("", verdict(drop)), true, false},
		"drop, counted":         {message("", counter, verdict(drop)), true, false},
		"accept":                {message("", verdict(accept)), false, false},
		"a verdict cut off":     {message("", verdict("\x00")), false, false},
		"a condition":           {message("", expressionOf("meta"), verdict(drop)), false, false},
		"a kind of the future":  {message("", expressionOf("tea"), verdict(drop)), false, false},
		"reject":                {message("", counter, expressionOf("reject", attr(unix.NFTA_REJECT_TYPE, drop))), true, false},
		"of iptables-nft":       {message("", counter, expressionOf("target", attr(unix.NFTA_TARGET_NAME, "REJECT\x00"))), true, false},
		"another target":        {message("", counter, expressionOf("target", attr(unix.NFTA_TARGET_NAME, "LOG\x00"))), false, false},
		"nothing":               {message(""), false, false},
		"ours":                  {message(string(mark("b0")), verdict(accept)), false, true},
		"of another bridge":     {message(string(mark("b00")), verdict(accept)), false, false},
		"user data of somebody": {message("zz", verdict(accept)), false, false},
	} {
		r := parseRule(c.message)
		if r.handle != 7 || r.forbidsAll(func(string) bool { return false }) != c.forbids || r.has("b0") != c.own {
			t.Errorf("%s: %+v: %v, %v", name, r, r.forbidsAll(func(string) bool { return false }), r.has("b0"))
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add(message("zz", verdict("\x00\x00\x00\x00")))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, m []byte) {
		r := parseRule(m)
		if r.forbidsAll(func(string) bool { return false }) && len(r.expressions) == 0 || r.has("Solopod: pods of ") && len(r.userData) == 0 {
			t.Errorf("%+v", r)
		}
	})
}
