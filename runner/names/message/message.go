// Package message bounds and keeps what github.com/miekg/dns reads and writes: queries, answers to them, and what other servers say. What
// is read is hostile. Names are as the library has them, in the form of zone files: each byte of a name in one way alone, so that two
// names are equal if their texts are, in lower case (dns.CanonicalName).
package message

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Bounds of messages.
const (
	// HeaderSize is that of a message's first part; the question begins there.
	HeaderSize = 12
	// MaxUDP bounds what is sent by UDP, and what servers are told to send: it needs no fragments anywhere (RFC 9715).
	MaxUDP = 1232
	// MaxTCP bounds a message by TCP.
	MaxTCP = dns.MaxMsgSize
)

// told are the types that are told by their names.
var told = []uint16{
	dns.TypeA, dns.TypeNS, dns.TypeCNAME, dns.TypeSOA, dns.TypePTR, dns.TypeMX, dns.TypeTXT, dns.TypeAAAA, dns.TypeSRV, dns.TypeIXFR, dns.TypeAXFR,
	dns.TypeANY, dns.TypeNAPTR, dns.TypeDS, dns.TypeDNSKEY, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeCAA,
}

// TypeName is a type's, or "other" for what is rare: there are few such names, whatever clients ask for.
func TypeName(t uint16) string {
	if slices.Contains(told, t) {
		return dns.TypeToString[t]
	}
	return "other"
}

// CodeName is a code's usual name.
func CodeName(code int) string {
	if code == dns.RcodeBadVers { // the library has its other name, of signatures
		return "BADVERS"
	}
	if n, ok := dns.RcodeToString[code]; ok {
		return n
	}
	return strconv.Itoa(code)
}

var errName = errors.New("no valid domain name")

// maxName is a name's length in messages (RFC 1035, 3.1).
const maxName = 255

// ParseName reads a name as people write it, without escapes; the dot at its end may be missing.
func ParseName(text string) (string, error) {
	var wire [maxName]byte
	end, err := dns.PackDomainName(dns.Fqdn(text), wire[:], 0, nil, false)
	if err == nil && strings.Contains(text, `\`) {
		err = dns.ErrRdata
	}
	if err != nil {
		return "", fmt.Errorf("%w: %q: labels have 1 to 63 characters, and the name %d at most", errName, text, maxName-2)
	}
	name, _, err := dns.UnpackDomainName(wire[:end], 0) // with its odd bytes as they are read elsewhere
	return name, err
}

// Below is a name made of labels and the name that they are below. It answers false where that makes no valid name.
func Below(name string, labels ...string) (string, bool) {
	for _, l := range labels {
		if l == "" || strings.Contains(l, ".") {
			return "", false
		}
	}
	full, err := ParseName(strings.Join(labels, "."))
	if err != nil {
		return "", false
	}
	if name != "." {
		full += name
	}
	var wire [maxName]byte
	_, err = dns.PackDomainName(full, wire[:], 0, nil, false)
	return full, err == nil
}

// Parent is the name without its first label; the root has none.
func Parent(name string) (string, bool) {
	if name == "." {
		return "", false
	}
	if at, end := dns.NextLabel(name, 0); !end {
		return name[at:], true
	}
	return ".", true
}
