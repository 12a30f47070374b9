package forward

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
)

// maxStrays bounds how many packets that are no answer are read before the server is no longer listened to: somebody guesses.
const maxStrays = 32

var (
	errStrays = errors.New("what came were other answers than those that were asked for: somebody may try to forge one")
	errStream = errors.New("too many long answers are being read")
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

// exchange asks one server, by UDP, and by TCP if the answer is too long and the client can take it.
func (f *Forwarder) exchange(ctx context.Context, t target, q Question) (*message.Kept, error) {
	began := time.Now()
	msg, err := f.packet(ctx, t.addr, q, !t.plain)
	refused := false
	if err == nil && !t.plain && (message.CodeOf(msg) == dns.RcodeFormatError || message.CodeOf(msg) == dns.RcodeNotImplemented) {
		refused = true // old servers do not know EDNS (RFC 6891, 7)
		msg, err = f.packet(ctx, t.addr, q, false)
	}
	switch {
	case err == nil:
		f.heard(t.upstream, max(time.Since(began), 1), refused && message.CodeOf(msg) != dns.RcodeFormatError, nil, time.Now())
	case !errors.Is(ctx.Err(), context.Canceled) || time.Since(began) >= mostPatient: // else another was faster, or all ends
		f.heard(t.upstream, 0, false, err, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask the DNS server %s: %w", t.addr, err)
	}
	k, err := keep(msg)
	if err != nil || !k.Truncated || !q.Stream {
		return k, err
	}
	if msg, err = f.stream(ctx, t.addr, q, !t.plain && !refused); err != nil {
		return nil, fmt.Errorf("cannot ask the DNS server %s by TCP: %w", t.addr, err)
	}
	return keep(msg)
}

// keep takes up an answer. One without a question is a mere code.
func keep(msg []byte) (*message.Kept, error) {
	if len(msg) == message.HeaderSize {
		return nil, fmt.Errorf("the DNS server answers %s", message.CodeName(message.CodeOf(msg)))
	}
	return message.Keep(msg)
}

// query is ours to a server, with a number that is random: who cannot see it must guess it.
func query(q Question, edns bool) (id uint16, ask []byte, err error) {
	id = dns.Id()
	ask, err = message.Ask(id, q.Question, message.Asking{RD: q.RD, CD: q.CD, DO: q.DO, EDNS: edns})
	return id, ask, err
}

// packet asks by UDP, from a port of its own that the kernel chooses at random; a connected socket hears its server alone.
func (f *Forwarder) packet(ctx context.Context, addr netip.AddrPort, q Question, edns bool) ([]byte, error) {
	id, ask, err := query(q, edns)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for strays := 0; strays < maxStrays; {
		if _, err := conn.Write(ask); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(resendAfter)); err != nil {
			return nil, err
		}
		for ; strays < maxStrays; strays++ {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			n, err := conn.Read(*buf)
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
				break // ask again
			}
			if err != nil {
				return nil, err
			}
			if got := (*buf)[:n]; message.Answers(got, id, q.Question) {
				return append([]byte(nil), got...), nil
			}
		}
	}
	return nil, errStrays
}

// stream asks by TCP.
func (f *Forwarder) stream(ctx context.Context, addr netip.AddrPort, q Question, edns bool) ([]byte, error) {
	id, ask, err := query(q, edns)
	if err != nil {
		return nil, err
	}
	select {
	case f.tcp <- struct{}{}:
		defer func() { <-f.tcp }()
	default:
		return nil, errStream
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(ask))), ask...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	got := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, got); err != nil {
		return nil, err
	}
	if !message.Answers(got, id, q.Question) {
		return nil, errStrays
	}
	return got, nil
}
