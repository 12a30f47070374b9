// Package forward asks other servers for names that are not the cluster's: the machine's own servers, and those of stub domains. It
// keeps answers for as long as they hold, in bounded memory, and asks once for what many want to know. Clients and servers are hostile:
// what waits is bounded, for each client and in all, and an answer counts only if it comes from who was asked, with the query's random
// number and question, to the query's own random port.
package forward

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
)

// Bounds of what is asked and kept at once.
const (
	maxFlights = 512     // questions on their way
	maxWaiting = 4096    // queries that wait for them
	maxClient  = 128     // of one client, so that no client keeps others from asking
	maxShared  = 512     // that wait for one question
	maxServers = 4       // that are asked for one name
	maxStreams = 16      // questions on their way by TCP, whose answers may be long
	maxCache   = 1 << 20 // bytes
)

// Limits of time.
const (
	flightLimit = 4 * time.Second // clients ask again, or elsewhere, after 5 s
	resendAfter = time.Second     // a packet may be lost
)

// Config says whom to ask.
type Config struct {
	// Upstreams are the servers for all names, in the order of preference. It is asked for each question, and answers at once.
	Upstreams func() []netip.AddrPort
	// Stubs are the servers of domains of their own. A domain without servers has none: its names are not asked for anywhere.
	Stubs map[string][]netip.AddrPort
	// Ours are addresses at which this server answers itself. They are never asked.
	Ours []netip.AddrPort
}

// Source says where an answer is from.
type Source string

// Sources of answers.
const (
	Cache    Source = "cache"
	Upstream Source = "upstream"
)

// Answer is what came of a question.
type Answer struct {
	*message.Kept // nil: nobody has given a usable answer, and Err says why
	Err           error
	Source        Source
	// Age is for how many seconds it was kept.
	Age uint32
	// Failures counts servers that were asked in vain for it; it is told to one of those that wait.
	Failures int
}

// Errors of questions that nobody was asked.
var (
	ErrBusy      = errors.New("too many names are being asked for")
	ErrEnded     = errors.New("the DNS server ends")
	ErrNoServers = errors.New("no DNS server is known to ask")
)

// Question is one for other servers.
type Question struct {
	dns.Question // with its name in lower case
	// DO, CD and RD are as the client has set them.
	DO, CD, RD bool
	// Stream: an answer that is too long for UDP is asked for by TCP.
	Stream bool
}

// Forwarder asks.
type Forwarder struct {
	cfg   Config
	stubs map[string][]netip.AddrPort
	ours  map[netip.AddrPort]bool
	done  context.Context
	end   context.CancelFunc
	all   sync.WaitGroup
	tcp   chan struct{}

	mu      sync.Mutex
	ended   bool
	cache   *cache
	flights map[Question]*flight
	waiting int
	clients map[netip.Addr]int
	servers map[netip.AddrPort]*upstream
	last    []netip.AddrPort
	// back counts questions in a row that nobody has answered, and that were asked by somebody else right after they went out.
	back      int
	toldRound time.Time
}

// Questions that come back are told from those that two clients happen to ask.
const (
	soon    = 20 * time.Millisecond
	fewBack = 5
)

// New makes one, which asks until Close.
func New(cfg Config) (*Forwarder, error) {
	f := &Forwarder{
		cfg: cfg, stubs: map[string][]netip.AddrPort{}, ours: map[netip.AddrPort]bool{}, tcp: make(chan struct{}, maxStreams),
		cache: newCache(maxCache), flights: map[Question]*flight{}, clients: map[netip.Addr]int{}, servers: map[netip.AddrPort]*upstream{},
	}
	for domain, servers := range cfg.Stubs {
		n, err := message.ParseName(domain)
		if err != nil {
			return nil, err
		}
		f.stubs[dns.CanonicalName(n)] = servers
	}
	for _, a := range cfg.Ours {
		f.ours[plain(a)] = true
	}
	f.done, f.end = context.WithCancel(context.Background())
	return f, nil
}

// plain is an address without a mapped form, so that equal ones look alike.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Close ends all questions that are on their way within a time, and waits for that.
func (f *Forwarder) Close(within time.Duration) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	stop := time.AfterFunc(within, f.end)
	f.all.Wait()
	stop.Stop()
	f.end()
}

// Ask has answer called once: before it returns if the answer is known, or from another goroutine, which it must not keep waiting.
func (f *Forwarder) Ask(q Question, client netip.Addr, answer func(Answer)) {
	if got, now := f.ask(q, client, answer, time.Now()); now {
		answer(got)
	}
}

func (f *Forwarder) ask(q Question, client netip.Addr, answer func(Answer), now time.Time) (_ Answer, known bool) {
	servers, common := f.asked(q.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if common {
		f.renew(servers)
	}
	if k, age, ok := f.cache.get(q, now); ok {
		return Answer{Kept: k, Source: Cache, Age: age}, true
	}
	if len(servers) == 0 {
		return Answer{Err: ErrNoServers, Source: Upstream}, true
	}
	fl, flies := f.flights[q]
	if f.ended {
		return Answer{Err: ErrEnded, Source: Upstream}, true
	}
	if f.waiting >= maxWaiting || f.clients[client] >= maxClient || flies && len(fl.waiting) >= maxShared || !flies && len(f.flights) >= maxFlights {
		return Answer{Err: ErrBusy, Source: Upstream}, true
	}
	f.waiting++
	f.clients[client]++
	if flies {
		fl.waiting = append(fl.waiting, waiter{client, answer})
		fl.came = fl.came || now.Sub(fl.began) < soon
		return Answer{}, false
	}
	fl = &flight{f: f, q: q, began: now, waiting: []waiter{{client, answer}}, servers: f.order(servers, now)}
	f.flights[q] = fl
	f.all.Add(1)
	go fl.run()
	return Answer{}, false
}

// asked are the servers for a name; common says that they are those for all names.
func (f *Forwarder) asked(n string) (servers []netip.AddrPort, common bool) {
	for at, ok := n, true; ok && len(f.stubs) > 0; at, ok = message.Parent(at) {
		if servers, stub := f.stubs[at]; stub {
			return f.others(servers), false
		}
	}
	if f.cfg.Upstreams == nil {
		return nil, true
	}
	return f.others(f.cfg.Upstreams()), true
}

// others are servers but ourselves.
func (f *Forwarder) others(servers []netip.AddrPort) (out []netip.AddrPort) {
	for _, s := range servers {
		if s = plain(s); s.IsValid() && s.Port() != 0 && !f.ours[s] && len(out) < maxServers {
			out = append(out, s)
		}
	}
	return out
}

// landed takes the flight's waiters, and keeps its answer.
func (f *Forwarder) landed(fl *flight, a Answer, now time.Time) (waiting []waiter, round bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.back++; !fl.came || a.Kept != nil {
		f.back = 0
	}
	if round = f.back >= fewBack && now.Sub(f.toldRound) >= tellAfter; round {
		f.toldRound = now
	}
	delete(f.flights, fl.q)
	for _, w := range fl.waiting {
		f.waiting--
		if f.clients[w.client]--; f.clients[w.client] == 0 {
			delete(f.clients, w.client)
		}
	}
	if a.Kept != nil {
		f.cache.put(fl.q, a.Kept, now)
	}
	return fl.waiting, round
}
