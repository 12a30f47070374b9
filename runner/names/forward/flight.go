package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
	"github.com/solopod/solopod/runner/rescue"
)

// flight is a question on its way. A question that leads back here, because a server asks us in its turn, joins the flight that it is
// of, and ends with it.
type flight struct {
	f       *Forwarder
	q       Question
	servers []target
	began   time.Time
	waiting []waiter // under f.mu
	came    bool     // under f.mu: somebody has asked the same right after it went out
}

// lastPatience is for how long all others are waited for once one server has said that it cannot answer.
const lastPatience = time.Second

type waiter struct {
	client netip.Addr
	answer func(Answer)
}

type result struct {
	kept *message.Kept
	err  error
}

func (fl *flight) run() {
	defer fl.f.all.Done()
	a := Answer{Source: Upstream}
	err := rescue.Do("ask a DNS server", func() error { a = fl.ask(); return nil })
	switch {
	case err != nil:
		a = Answer{Source: Upstream, Err: err}
	case a.Kept == nil && fl.f.done.Err() != nil:
		a.Err = ErrEnded
	}
	waiting, round := fl.f.landed(fl, a, time.Now())
	if round {
		slog.Warn("DNS queries seem to come back: a server that is asked for other names asks Solopod's own in its turn. Take Solopod's addresses out of "+
			"that server's configuration, or out of the machine's resolv.conf", "question", fl.q.Name)
	}
	for _, w := range waiting {
		_ = rescue.Do("answer a DNS client", func() error { w.answer(a); return nil }) // rescue logs it
		a.Failures = 0
	}
}

// ask asks one server after the other, each beside those that have not answered yet, until one has.
func (fl *flight) ask() Answer {
	ctx, cancel := context.WithTimeout(fl.f.done, flightLimit)
	a := &asking{flight: fl, results: make(chan result, len(fl.servers)), next: time.NewTimer(0), Answer: Answer{Source: Upstream}}
	defer a.end()
	defer cancel()
	for {
		select {
		case <-a.next.C:
			if a.asked < len(fl.servers) {
				a.begin(ctx)
			} else if a.worst != nil {
				return a.inVain()
			}
		case r := <-a.results:
			if a.heard(r) {
				return a.Answer
			}
			if a.running == 0 && a.asked == len(fl.servers) {
				return a.inVain()
			}
		case <-ctx.Done():
			a.Err = errors.Join(a.Err, fmt.Errorf("cannot have an answer for %s from any DNS server within %s", fl.q.Name, flightLimit))
			return a.inVain()
		}
	}
}

// asking is what has come of a flight so far.
type asking struct {
	*flight
	Answer
	// asked are how many of the servers were, and running those of them that have not answered.
	asked, running int
	results        chan result
	next           *time.Timer   // when another server is asked, or no other is waited for
	worst          *message.Kept // what a server says is wrong is better than nothing
}

// begin asks the next server.
func (a *asking) begin(ctx context.Context) {
	t := a.servers[a.asked]
	a.asked++
	a.running++
	go func() {
		var r result
		r.err = rescue.Do("ask a DNS server", func() (err error) { r.kept, err = a.f.exchange(ctx, t, a.q); return err })
		a.results <- r
	}()
	if a.asked < len(a.servers) {
		a.next.Reset(t.patience)
	} else {
		a.next.Reset(lastPatience)
	}
}

// heard takes what a server says, and whether it is an answer. If not, the next one is asked at once.
func (a *asking) heard(r result) bool {
	a.running--
	if r.kept != nil && (r.kept.Code == dns.RcodeSuccess || r.kept.Code == dns.RcodeNameError) {
		a.Kept = r.kept
		return true
	}
	a.Failures++
	if r.kept != nil {
		a.worst = r.kept
	} else {
		a.Err = errors.Join(a.Err, r.err)
	}
	if a.asked < len(a.servers) {
		a.next.Reset(0)
	} else {
		a.next.Reset(lastPatience)
	}
	return false
}

// inVain is the answer when no server has given one.
func (a *asking) inVain() Answer {
	a.Failures += a.running
	a.Kept = a.worst
	return a.Answer
}

// end waits for those that are asked still: the context of all has ended, and they heed it.
func (a *asking) end() {
	a.next.Stop()
	for ; a.running > 0; a.running-- {
		<-a.results
	}
}
