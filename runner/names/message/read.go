package message

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

var (
	errMessage = errors.New("no valid DNS message")
	errNames   = errors.New("its records are too long once their names are written out")
)

// maxWritten bounds a message's records with their names written out: 64 KiB can hold names of some MiB by pointers.
const maxWritten = 1 << 19

// read takes a message apart that has one question, of its records most at most. With an error it answers the question alone, if that
// can be read. (*dns.Msg).Unpack does the same without bounds, and passes over records that are missing, and over what comes behind
// the last one.
func read(b []byte, most int) (*dns.Msg, error) {
	m, err := readQuestion(b)
	if err != nil {
		return nil, err
	}
	at, written := m.Len(), 0
	for i, section := range []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra} {
		for range binary.BigEndian.Uint16(b[6+2*i:]) {
			if most--; most < 0 {
				return m, nil
			}
			r, end, err := record(b, at)
			if err != nil {
				return m, err
			}
			if written += dns.Len(r); written > maxWritten {
				return m, errNames
			}
			*section, at = append(*section, r), end
		}
	}
	if at != len(b) {
		return m, errMessage
	}
	return m, nil
}

// readQuestion reads a message's header and its one question.
func readQuestion(b []byte) (*dns.Msg, error) {
	m := &dns.Msg{}
	if len(b) < HeaderSize || m.Unpack(b[:HeaderSize]) != nil || binary.BigEndian.Uint16(b[4:]) != 1 {
		return nil, errMessage
	}
	name, at, err := dns.UnpackDomainName(b, HeaderSize)
	if err != nil || at+4 > len(b) {
		return nil, errMessage
	}
	m.Question = []dns.Question{{Name: name, Qtype: binary.BigEndian.Uint16(b[at:]), Qclass: binary.BigEndian.Uint16(b[at+2:])}}
	if m.Len() != at+4 { // nothing is there that a pointer could lead to
		return nil, errMessage
	}
	return m, nil
}

// shortened are types whose data may hold names that pointers shorten (RFC 3597, 4), and EDNS' own: these must be understood.
var shortened = []uint16{
	dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeSOA, dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypePTR, dns.TypeMINFO, dns.TypeMX,
	dns.TypeRP, dns.TypeAFSDB, dns.TypeRT, dns.TypeSIG, dns.TypePX, dns.TypeNXT, dns.TypeNAPTR, dns.TypeKX, dns.TypeSRV, dns.TypeDNAME, dns.TypeOPT,
}

// record reads the record at a place, and says where it ends. One that the library makes nothing of passes byte by byte, as do types
// that are unknown.
func record(b []byte, at int) (r dns.RR, end int, err error) {
	name, at, err := dns.UnpackDomainName(b, at)
	if err != nil || at+10 > len(b) {
		return nil, 0, errMessage
	}
	h := dns.RR_Header{
		Name: name, Rrtype: binary.BigEndian.Uint16(b[at:]), Class: binary.BigEndian.Uint16(b[at+2:]), Ttl: binary.BigEndian.Uint32(b[at+4:]),
		Rdlength: binary.BigEndian.Uint16(b[at+8:]),
	}
	at += 10
	if end = at + int(h.Rdlength); end > len(b) {
		return nil, 0, errMessage
	}
	switch {
	case h.Rrtype == dns.TypeHIP: // its data are names, as many as have room, and pointers make each of them long
	case h.Rdlength > 0 || h.Rrtype == dns.TypeOPT:
		r, _, err = dns.UnpackRRWithHeader(h, b[:end], at)
		if err == nil {
			return r, end, nil
		}
		if slices.Contains(shortened, h.Rrtype) {
			return nil, 0, fmt.Errorf("%w: %w", errMessage, err)
		}
	}
	return &dns.RFC3597{Hdr: h, Rdata: hex.EncodeToString(b[at:end])}, end, nil
}

// CodeOf is a response's code, without EDNS' upper bits.
func CodeOf(b []byte) int { return int(b[3] & 0xF) }

// Answers says whether a message is a response to a question that was asked with an ID. Such a response can have come from somebody
// else only by guessing ID and port. Servers that make nothing of a query may leave the question out.
func Answers(b []byte, id uint16, q dns.Question) bool {
	var h dns.Msg
	if len(b) < HeaderSize || h.Unpack(b[:HeaderSize]) != nil || h.Id != id || !h.Response || h.Opcode != dns.OpcodeQuery {
		return false
	}
	if binary.BigEndian.Uint16(b[4:]) == 0 {
		return len(b) == HeaderSize && slices.Contains([]int{dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused}, h.Rcode)
	}
	m, err := readQuestion(b)
	return err == nil && canonical(m.Question[0]) == q
}

// canonical is a question with its name in lower case.
func canonical(q dns.Question) dns.Question {
	q.Name = dns.CanonicalName(q.Name)
	return q
}
