package message

import (
	"bytes"
	"fmt"

	"github.com/miekg/dns"
)

// Kept is another server's response, as it is kept and sent on: its records as they came, but for what is between two servers alone. It
// is kept as bytes, which take a sixth of the room, and is read again each time.
type Kept struct {
	Code int
	// TTL is for how many seconds it may be kept.
	TTL uint32
	// Truncated says whether there is more by TCP; HasRecords whether it has any that were asked for.
	Truncated, HasRecords bool
	came                  []byte
}

// Size is about how much memory it takes.
func (k *Kept) Size() int { return cap(k.came) + 64 }

// Keep takes up a response to a question that was asked (see Answers).
func Keep(b []byte) (*Kept, error) {
	m, err := read(b, len(b))
	if err != nil {
		return nil, fmt.Errorf("cannot read the response: %w", err)
	}
	k := &Kept{Code: m.Rcode, Truncated: m.Truncated, HasRecords: len(m.Answer) > 0, TTL: ^uint32(0), came: bytes.Clone(b)}
	negative := uint32(0)
	for _, r := range m.Answer {
		k.TTL = min(k.TTL, lifetime(r))
	}
	for _, r := range m.Ns {
		if soa, ok := r.(*dns.SOA); ok { // RFC 2308, 5
			negative = min(lifetime(r), soa.Minttl)
		}
	}
	if !k.HasRecords || k.Code != dns.RcodeSuccess {
		k.TTL = min(k.TTL, negative)
	}
	for i, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if r.Header().Rrtype != dns.TypeOPT {
				continue
			}
			if opt, ok := r.(*dns.OPT); i != 2 || !ok || opt.ExtendedRcode() != 0 {
				return nil, fmt.Errorf("cannot use the response: %w", errMessage)
			}
		}
	}
	return k, nil
}

// lifetime is a record's TTL; one with its highest bit set is none (RFC 2181, 8).
func lifetime(r dns.RR) uint32 {
	if t := r.Header().Ttl; t < 1<<31 {
		return t
	}
	return 0
}

// leastRecord is the least that a record takes of a message.
const leastRecord = 11

// Reply is the response for a client, cut to a limit, after so many seconds. The client has asked the same question.
func (k *Kept) Reply(q *Query, limit int, age uint32) []byte {
	m, err := read(k.came, limit/leastRecord+1) // more have no room
	if err != nil {
		return Reply(q, dns.RcodeServerFailure)
	}
	return Write(q, Response{
		Code: k.Code, Truncated: k.Truncated, Authentic: m.AuthenticatedData, Answer: passed(m.Answer, age), Authority: passed(m.Ns, age), More: passed(m.Extra, age),
	}, limit)
}

// Records are those of the answer, of class IN, after so many seconds: all, or more than a limit has room for.
func (k *Kept) Records(limit int, age uint32) (out []dns.RR, err error) {
	m, err := read(k.came, limit/leastRecord+1)
	if err != nil {
		return nil, err
	}
	for _, r := range passed(m.Answer, age) {
		if r.Header().Class == dns.ClassINET {
			out = append(out, r)
		}
	}
	return out, nil
}

// passed are records as they are sent on: with shorter lives, and without what is between two servers alone.
func passed(records []dns.RR, age uint32) (out []dns.RR) {
	for _, r := range records {
		switch h := r.Header(); h.Rrtype {
		case dns.TypeOPT, dns.TypeTSIG:
		default:
			h.Ttl = lifetime(r) - min(age, lifetime(r))
			out = append(out, r)
		}
	}
	return out
}
