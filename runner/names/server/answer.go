package server

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/forward"
	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/names/zone"
	"github.com/solopod/solopod/runner/rescue"
)

// request is a query of a client.
type request struct {
	q      *message.Query
	client netip.Addr
	tcp    bool
	came   time.Time
	reply  func([]byte)
}

// code is a response that is nothing but a code.
func (r *request) code(c int) func() (int, []byte) {
	return func() (int, []byte) { return c, message.Reply(r.q, c) }
}

// leastRecord is the least that a record takes of a message: a pointer to its name, and an address.
const leastRecord = 16

func (r *request) limit() int {
	if r.tcp {
		return message.MaxTCP
	}
	return r.q.Limit()
}

// answer has reply called once: before it returns, or later by another goroutine. It is called with nil where nothing is to be sent, as
// the packet is no query, or all ends: whoever serves next is asked again.
func (s *Server) answer(f *forward.Forwarder, packet []byte, client netip.Addr, tcp bool, reply func([]byte)) {
	r := &request{client: client.Unmap(), tcp: tcp, came: time.Now(), reply: reply}
	q, code, err := message.ParseQuery(packet)
	if q == nil {
		reply(nil)
		return
	}
	r.q = q
	z := s.zone.Load()
	switch {
	case err != nil:
		s.send(r, Own, 0, r.code(code))
	case z != nil && z.Has(q.Name):
		s.cluster(f, r, z)
	case dns.IsSubDomain(s.apex, q.Name):
		s.send(r, Cluster, 0, r.code(dns.RcodeServerFailure))
	default:
		s.ask(f, r, q.Name, q.RD, func(a forward.Answer) (int, []byte) {
			return a.Code, a.Reply(q, r.limit(), a.Age)
		})
	}
}

// ask has other servers asked, and an answer of theirs made ours.
func (s *Server) ask(f *forward.Forwarder, r *request, n string, recursion bool, compose func(forward.Answer) (int, []byte)) {
	question := forward.Question{
		Question: dns.Question{Name: n, Qtype: r.q.Qtype, Qclass: dns.ClassINET}, DO: r.q.DO, CD: r.q.CD, RD: recursion, Stream: r.tcp,
	}
	f.Ask(question, r.client, func(a forward.Answer) {
		switch {
		case errors.Is(a.Err, forward.ErrEnded):
			r.reply(nil)
		case a.Kept == nil:
			s.send(r, Source(a.Source), a.Failures, r.code(dns.RcodeServerFailure))
		default:
			s.send(r, Source(a.Source), a.Failures, func() (int, []byte) { return compose(a) })
		}
	})
}

// cluster answers from the zone, and follows aliases that lead out of it.
func (s *Server) cluster(f *forward.Forwarder, r *request, z *zone.Zone) {
	a := z.Lookup(r.q.Question, uint(s.turn.Add(1)), r.limit()/leastRecord+1)
	if a.Chase == "" {
		whole := message.Response{Code: a.Code, Authoritative: true, Answer: a.Records, Authority: a.Authority, More: a.More}
		s.send(r, Cluster, 0, func() (int, []byte) { return a.Code, message.Write(r.q, whole, r.limit()) })
		return
	}
	s.ask(f, r, a.Chase, true, func(got forward.Answer) (int, []byte) {
		more, err := got.Records(r.limit(), got.Age)
		if err != nil {
			return r.code(dns.RcodeServerFailure)()
		}
		full := message.Response{Code: got.Code, Truncated: got.Truncated, Answer: slices.Concat(a.Records, more)}
		if len(more) == 0 {
			full.Authority = z.Negative()
		}
		return full.Code, message.Write(r.q, full, r.limit())
	})
}

// send replies with what compose makes, and tells of it. Whatever goes wrong in making it, the client has an answer.
func (s *Server) send(r *request, source Source, failures int, compose func() (int, []byte)) {
	var code int
	var b []byte
	if err := rescue.Do("write a DNS answer", func() error {
		if r.tcp {
			s.long <- struct{}{}
			defer func() { <-s.long }()
		}
		code, b = compose()
		return nil
	}); err != nil {
		code, b = r.code(dns.RcodeServerFailure)()
	}
	r.reply(b)
	if s.cfg.Observe == nil {
		return
	}
	o := Answered{
		Protocol: "udp", Family: "ipv4", Type: message.TypeName(r.q.Qtype), Code: message.CodeName(code), Source: source, Took: time.Since(r.came), Failures: failures,
	}
	if r.tcp {
		o.Protocol = "tcp"
	}
	if r.client.Is6() {
		o.Family = "ipv6"
	}
	s.cfg.Observe(o)
}
