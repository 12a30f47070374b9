package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
)

// rule is one as the kernel tells it. Of its expressions only those are read that matter here: other programs' rules consist of more kinds
// than any library knows.
type rule struct {
	handle      uint64
	userData    []byte
	expressions []expression
	whole       []byte // its expressions as they are
}

type expression struct {
	name string
	data []byte // attributes
}

// tries is how often a list is asked for that has changed while it was made.
const tries = 5

// rulesOf lists the rules of a chain; none when there is no such chain.
func rulesOf(table *nftables.Table, chain string) (rules []rule, err error) {
	messages, err := netlinks.Whole(tries, func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(table.Family), Version: nl.NFNETLINK_V0})
		req.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(table.Name)))
		req.AddData(nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(chain)))
		return req.Execute(unix.NETLINK_NETFILTER, 0)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the rules of chain %s of table %s: %w", chain, table.Name, err)
	}
	for _, m := range messages {
		rules = append(rules, parseRule(m))
	}
	return rules, nil
}

// parseRule reads a message: a struct nfgenmsg and attributes (linux/netfilter/nf_tables.h).
func parseRule(m []byte) (r rule) {
	for kind, value := range netlinks.Attributes(m[min(nl.SizeofNfgenmsg, len(m)):]) {
		switch kind {
		case unix.NFTA_RULE_HANDLE:
			if len(value) == 8 {
				r.handle = binary.BigEndian.Uint64(value)
			}
		case unix.NFTA_RULE_USERDATA:
			r.userData = value
		case unix.NFTA_RULE_EXPRESSIONS:
			r.whole = value
			for _, element := range netlinks.Attributes(value) {
				var e expression
				for kind, value := range netlinks.Attributes(element) {
					switch kind {
					case unix.NFTA_EXPR_NAME:
						e.name = text(value)
					case unix.NFTA_EXPR_DATA:
						e.data = value
					}
				}
				r.expressions = append(r.expressions, e)
			}
		}
	}
	return r
}

// attribute is the value of the first attribute of a kind.
func attribute(b []byte, wanted uint16) []byte {
	for kind, value := range netlinks.Attributes(b) {
		if kind == wanted {
			return value
		}
	}
	return nil
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// forbidsAll: the rule has no condition, and drops or rejects, or leads to a chain that does.
func (r rule) forbidsAll(chainDoes func(name string) bool) bool {
	for i, e := range r.expressions {
		last := i == len(r.expressions)-1
		switch e.name {
		case "counter", "log":
		case "immediate":
			verdict := attribute(attribute(e.data, unix.NFTA_IMMEDIATE_DATA), unix.NFTA_DATA_VERDICT)
			code := attribute(verdict, unix.NFTA_VERDICT_CODE)
			if !last || len(code) != 4 {
				return false
			}
			switch expr.VerdictKind(int32(binary.BigEndian.Uint32(code))) {
			case expr.VerdictDrop:
				return true
			case expr.VerdictJump, expr.VerdictGoto:
				return chainDoes(text(attribute(verdict, unix.NFTA_VERDICT_CHAIN)))
			}
			return false
		case "reject":
			return last
		case "target": // iptables-nft's
			return last && text(attribute(e.data, unix.NFTA_TARGET_NAME)) == "REJECT"
		default:
			return false
		}
	}
	return false
}

// has: the user data are compared as a whole, others may put there what they like.
func (r rule) has(comment string) bool { return bytes.Equal(r.userData, mark(comment)) }

// mark is the user data of our rules, which nft(8) shows as a comment.
func mark(comment string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, comment)
}
