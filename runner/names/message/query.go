package message

import (
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
)

// Query is a client's.
type Query struct {
	// Question is what is asked for, with its name in lower case.
	dns.Question
	// RD and CD are as the client has set them.
	RD, CD bool
	// EDNS: the client speaks it; Size is then how much it takes by UDP, and DO that it wants DNSSEC's records.
	EDNS bool
	Size uint16
	DO   bool
	// came is the query as it came, to be answered letter by letter; of its records none is kept.
	came *dns.Msg
}

// Kinds of what is no query to be answered with records.
var (
	// ErrNoQuery: nothing is sent back, as it is a response, or too short to say whose answer it were.
	ErrNoQuery = errors.New("this is no DNS query")
	// ErrRefused says that a code is the whole answer: see Reply.
	ErrRefused = errors.New("this query is answered with a code alone")
)

// most bounds a query's records; more are not accepted (see dns.DefaultMsgAcceptFunc).
const most = 4

// ParseQuery reads a query. With ErrRefused the code is what is to be answered (see Reply).
func ParseQuery(b []byte) (q *Query, code int, err error) {
	head := &dns.Msg{}
	if len(b) < HeaderSize || head.Unpack(b[:HeaderSize]) != nil || head.Response {
		return nil, 0, ErrNoQuery
	}
	q = &Query{came: head}
	if head.Opcode != dns.OpcodeQuery {
		return q, dns.RcodeNotImplemented, ErrRefused
	}
	if dns.DefaultMsgAcceptFunc(header(b)) != dns.MsgAccept {
		return q, dns.RcodeFormatError, ErrRefused
	}
	m, err := read(b, most)
	if m == nil {
		return q, dns.RcodeFormatError, ErrRefused
	}
	q.came, q.Question, q.RD, q.CD = m, canonical(m.Question[0]), m.RecursionDesired, m.CheckingDisabled
	opt, err2 := options(m)
	m.Answer, m.Ns, m.Extra = nil, nil, nil
	if err != nil || err2 != nil {
		return q, dns.RcodeFormatError, ErrRefused
	}
	if opt != nil {
		q.EDNS, q.Size, q.DO = true, opt.UDPSize(), opt.Do()
	}
	switch {
	case opt != nil && opt.Version() != 0:
		return q, dns.RcodeBadVers, ErrRefused
	case q.Qtype == dns.TypeOPT:
		return q, dns.RcodeFormatError, ErrRefused
	case q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		return q, dns.RcodeRefused, ErrRefused
	}
	return q, dns.RcodeSuccess, nil
}

// header is a message's, as it is counted.
func header(b []byte) (h dns.Header) {
	for i, to := range []*uint16{&h.Id, &h.Bits, &h.Qdcount, &h.Ancount, &h.Nscount, &h.Arcount} {
		*to = binary.BigEndian.Uint16(b[2*i:])
	}
	return h
}

// options are a message's of EDNS: one record alone, among the additions, and of the root.
func options(m *dns.Msg) (opt *dns.OPT, err error) {
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if r.Header().Rrtype != dns.TypeOPT {
				continue
			}
			if i != 2 || opt != nil || r.Header().Name != "." {
				return nil, errMessage
			}
			opt, _ = r.(*dns.OPT)
		}
	}
	return opt, nil
}

// Limit is how long a response by UDP may be.
func (q *Query) Limit() int {
	if !q.EDNS {
		return dns.MinMsgSize
	}
	return min(max(int(q.Size), dns.MinMsgSize), MaxUDP)
}

// Asking says how another server is asked.
type Asking struct {
	// RD and CD are as the client has set them; with DO, DNSSEC's records are wanted, if the server is asked with EDNS.
	RD, CD, DO, EDNS bool
}

// Ask is a query for another server. AD asks it to say whether it has validated the answer (RFC 6840, 5.7).
func Ask(id uint16, q dns.Question, how Asking) ([]byte, error) {
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: id, RecursionDesired: how.RD, CheckingDisabled: how.CD, AuthenticatedData: true},
		Question: []dns.Question{q},
	}
	if how.EDNS {
		m.SetEdns0(MaxUDP, how.DO)
	}
	return m.Pack()
}
