package message

import (
	"github.com/miekg/dns"
)

// Response is what is answered. Its records are not changed: they may be others' too.
type Response struct {
	Code int
	// Authoritative: it is from the zone. Truncated: it is not whole to begin with. Authentic: another server has validated it.
	Authoritative, Truncated, Authentic bool
	Answer, Authority, More             []dns.RR
}

// Reply is a response that is nothing but a code.
func Reply(q *Query, code int) []byte {
	b, err := response(q, code).Pack()
	if err != nil { // there is nothing in it but what was read
		return nil
	}
	return b
}

func response(q *Query, code int) *dns.Msg {
	m := (&dns.Msg{}).SetRcode(q.came, code)
	m.RecursionAvailable, m.Compress = true, true
	if q.EDNS {
		m.SetEdns0(MaxUDP, q.DO)
	}
	return m
}

// Write makes a response of so many bytes at most, 512 or more. Records that have no room are left out, and it says so, unless they are
// mere additions.
func Write(q *Query, r Response, limit int) []byte {
	m := response(q, r.Code)
	m.Authoritative, m.Truncated = r.Authoritative, r.Truncated
	m.AuthenticatedData = r.Authentic && (q.DO || q.came.AuthenticatedData) // else nobody wants to know (RFC 6840, 5.8)
	m.Answer, m.Ns = q.spelled(r.Answer), r.Authority
	m.Extra = append(append(make([]dns.RR, 0, len(r.More)+1), r.More...), m.Extra...)
	m.Truncate(limit)
	m.Compress = true
	m.Truncated = r.Truncated || len(m.Answer) < len(r.Answer) || len(m.Ns) < len(r.Authority)
	if b, err := m.Pack(); err == nil && len(b) <= limit {
		return b
	}
	return Reply(q, dns.RcodeServerFailure)
}

// spelled has the records of the name that was asked for bear it as the client writes it: some compare letter by letter.
func (q *Query) spelled(records []dns.RR) []dns.RR {
	as := q.came.Question[0].Name
	out := make([]dns.RR, len(records))
	for i, r := range records {
		if n := r.Header().Name; n != as && dns.CanonicalName(n) == q.Name {
			r = dns.Copy(r)
			r.Header().Name = as
		}
		out[i] = r
	}
	return out
}
