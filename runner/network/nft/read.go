package nft

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/netlinks"
)

// tries is how often a list is asked for that has changed while it was made.
const tries = 5

// Fingerprint tells a table's rules, and the elements of some of its sets, from any others: what somebody took away, changed, or put there
// instead. Handles count, so that what was written anew is another. It is "" when there is no such table, or nothing in it.
func Fingerprint(t *nftables.Table, sets ...string) (string, error) {
	rules, err := Rules(t)
	if err != nil || len(rules) == 0 {
		return "", err
	}
	all := sha256.New()
	for _, m := range rules {
		all.Write(m[min(nl.SizeofNfgenmsg, len(m)):])
	}
	for _, name := range sets {
		elements, err := elementsOf(t, name)
		if err != nil {
			return "", err
		}
		slices.SortFunc(elements, bytes.Compare) // the kernel's order is not always the same
		fmt.Fprintf(all, "%s %d\n", name, len(elements))
		for _, e := range elements {
			all.Write(e)
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// Rules are a table's rules, as messages; none where there is no such table.
func Rules(t *nftables.Table) ([][]byte, error) {
	return dump(t, unix.NFT_MSG_GETRULE, func(req *nl.NetlinkRequest) {
		req.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(t.Name)))
	})
}

// elementsOf are a set's elements, as attributes.
func elementsOf(t *nftables.Table, set string) (elements [][]byte, err error) {
	messages, err := dump(t, unix.NFT_MSG_GETSETELEM, func(req *nl.NetlinkRequest) {
		req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_TABLE, nl.ZeroTerminated(t.Name)))
		req.AddData(nl.NewRtAttr(unix.NFTA_SET_ELEM_LIST_SET, nl.ZeroTerminated(set)))
	})
	for _, m := range messages {
		for kind, list := range netlinks.Attributes(m[min(nl.SizeofNfgenmsg, len(m)):]) {
			if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, element := range netlinks.Attributes(list) {
				elements = append(elements, element)
			}
		}
	}
	return elements, err
}

// dump asks for a list; there is none where there is no such table.
func dump(t *nftables.Table, kind int, ask func(*nl.NetlinkRequest)) ([][]byte, error) {
	messages, err := netlinks.Whole(tries, func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(t.Family), Version: nl.NFNETLINK_V0})
		ask(req)
		return req.Execute(unix.NETLINK_NETFILTER, 0)
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list what is in table %s: %w", t.Name, err)
	}
	return messages, nil
}

// Element is one of a set, as the kernel has it.
type Element struct {
	Key string
	// Value is the data of a map's element, or the name of the chain to which it leads.
	Value string
	// Packets and Bytes are of its counter, if it has one.
	Packets, Bytes uint64
}

// Elements lists a set's elements; there are none where there is no such set.
func Elements(t *nftables.Table, set string) (out []Element, err error) {
	list, err := elementsOf(t, set)
	for _, e := range list {
		out = append(out, parseElement(e))
	}
	return out, err
}

// parseElement reads attributes (linux/netfilter/nf_tables.h, NFTA_SET_ELEM_*).
func parseElement(b []byte) (e Element) {
	for kind, value := range netlinks.Attributes(b) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			e.Key = string(attribute(value, unix.NFTA_DATA_VALUE))
		case unix.NFTA_SET_ELEM_DATA:
			e.Value = string(attribute(value, unix.NFTA_DATA_VALUE))
			if verdict := attribute(value, unix.NFTA_DATA_VERDICT); verdict != nil {
				name, _, _ := bytes.Cut(attribute(verdict, unix.NFTA_VERDICT_CHAIN), []byte{0})
				e.Value = string(name)
			}
		case unix.NFTA_SET_ELEM_EXPR:
			data := attribute(value, unix.NFTA_EXPR_DATA)
			e.Packets, e.Bytes = number(attribute(data, unix.NFTA_COUNTER_PACKETS)), number(attribute(data, unix.NFTA_COUNTER_BYTES))
		}
	}
	return e
}

func attribute(b []byte, wanted uint16) []byte {
	for kind, value := range netlinks.Attributes(b) {
		if kind == wanted {
			return value
		}
	}
	return nil
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// Generation is a number that grows with each transaction of anybody.
func (s *Session) Generation() (uint32, error) {
	if s.asker == nil {
		socket, err := nl.Subscribe(unix.NETLINK_NETFILTER)
		if err != nil {
			return 0, err
		}
		s.asker = &nl.SocketHandle{Socket: socket}
	}
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: s.asker}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil || len(messages) == 0 {
		return 0, err
	}
	id := attribute(messages[0][min(nl.SizeofNfgenmsg, len(messages[0])):], unix.NFTA_GEN_ID)
	if len(id) != 4 {
		return 0, errors.New("the kernel does not tell of which generation its rules are")
	}
	return binary.BigEndian.Uint32(id), nil
}

// Exists says whether there is a table.
func Exists(t *nftables.Table) (bool, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, 0)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(t.Family), Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(unix.NFTA_TABLE_NAME, nl.ZeroTerminated(t.Name)))
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if Unsupported(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look for table %s: %w", t.Name, err)
	}
	return true, nil
}
