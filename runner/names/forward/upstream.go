package forward

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

// upstream is what is known of a server.
type upstream struct {
	addr netip.AddrPort
	// rtt is how long its answers take, on the average.
	rtt time.Duration
	// silent counts questions in a row that it has not answered; tried is when it was last asked.
	silent int
	tried  time.Time
	// plainUntil: it has refused EDNS, and is asked without it until then.
	plainUntil time.Time
	// told: the log says that it is silent, or that its answers are forged; at says when that was said.
	told bool
	at   time.Time
}

const (
	silentAfter  = 2 // unanswered questions
	retrySilent  = 5 * time.Second
	plainFor     = 5 * time.Minute
	leastPatient = 50 * time.Millisecond
	mostPatient  = 300 * time.Millisecond
	maxKnown     = 64 // servers that something is known of
	tellAfter    = 10 * time.Minute
)

// patience is for how long a server may be waited for before the next one is asked as well.
func (u *upstream) patience() time.Duration {
	if u.rtt == 0 {
		return mostPatient
	}
	return min(max(4*u.rtt, leastPatient), mostPatient)
}

// target is a server that is asked, as it was known when the question began.
type target struct {
	*upstream
	addr     netip.AddrPort
	patience time.Duration
	plain    bool
}

// renew forgets what was kept once other servers are asked: in another network, names may mean something else. f.mu is held.
func (f *Forwarder) renew(servers []netip.AddrPort) {
	if !slices.Equal(f.last, servers) {
		f.cache.clear()
		f.last = servers
	}
}

// order are the servers as they are asked: those that have been silent last, but one that was not asked for a while is asked at once,
// beside the first, so that it is known when it is back. f.mu is held.
func (f *Forwarder) order(servers []netip.AddrPort, now time.Time) (out []target) {
	var silent []target
	for _, s := range servers {
		u := f.servers[s]
		if u == nil {
			if len(f.servers) >= maxKnown {
				clear(f.servers)
			}
			u = &upstream{addr: s}
			f.servers[s] = u
		}
		t := target{upstream: u, addr: s, patience: u.patience(), plain: now.Before(u.plainUntil)}
		switch {
		case u.silent < silentAfter:
			out = append(out, t)
		case now.Sub(u.tried) >= retrySilent:
			u.tried = now
			t.patience = 0
			silent = slices.Insert(silent, 0, t)
		default:
			silent = append(silent, t)
		}
	}
	if len(out) > 0 && len(silent) > 0 && silent[0].patience == 0 {
		return slices.Concat(silent[:1], out, silent[1:])
	}
	return append(out, silent...)
}

// heard notes how a server has answered; took is zero if it has not. The log says once when it falls silent, and when it is back.
func (f *Forwarder) heard(u *upstream, took time.Duration, refusesEDNS bool, why error, now time.Time) {
	switch silent, back := f.note(u, took, refusesEDNS, why, now); {
	case silent && errors.Is(why, errStrays):
		slog.Warn("somebody seems to forge answers of a DNS server: it is asked last", "server", u.addr)
	case silent:
		slog.Warn("a DNS server does not answer: it is asked last, until it does", "server", u.addr, "err", why)
	case back:
		slog.Info("a DNS server answers again", "server", u.addr)
	}
}

// note says whether the log is to tell of it.
func (f *Forwarder) note(u *upstream, took time.Duration, refusesEDNS bool, why error, now time.Time) (silent, back bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u.tried = now
	if took == 0 {
		u.silent++
		silent = !u.told && (u.silent >= silentAfter || errors.Is(why, errStrays)) && now.Sub(u.at) >= tellAfter
		if silent {
			u.told, u.at = true, now
		}
		return silent, false
	}
	back, u.told = u.told, false
	if u.silent = 0; u.rtt == 0 {
		u.rtt = took
	}
	u.rtt += (took - u.rtt) / 8
	if refusesEDNS {
		u.plainUntil = now.Add(plainFor)
	}
	return false, back
}
