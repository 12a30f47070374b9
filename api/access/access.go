// Package access says who may do what: a user is found by the other side of the unix socket, by a client certificate or by a
// token, and has one of three roles.
package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/solopod/solopod/api/trusted"
)

// Role is what a user may do.
type Role int

const (
	// None may nothing.
	None Role = iota
	// Scraper may see health and metrics.
	Scraper
	// Reader may see everything that has no secrets.
	Reader
	// Admin may change things, and enter containers.
	Admin
)

// User is who asks.
type User struct {
	Name string
	Role Role
}

// Authenticate finds the user of a request; an error says why there is none.
type Authenticate func(r *http.Request) (User, error)

// The groups (organizations) of a client's certificate that have a role. Those that are not Solopod's are what kubeadm gives a
// kube-apiserver to use with kubelets.
var groups = map[string]Role{
	"solopod:metrics": Scraper, "solopod:read-only": Reader, "solopod:admin": Admin, "system:masters": Admin, "kubeadm:cluster-admins": Admin,
}

// The roles that a file of tokens gives.
var roles = map[string]Role{"admin": Admin, "read-only": Reader, "metrics": Scraper}

var (
	errNobody = errors.New("who are you? Use a client certificate or a token (Authorization: Bearer ...)")
	errToken  = errors.New("this token is not known")
	// errUnreadable: what is wrong is in the log.
	errUnreadable = errors.New("the tokens cannot be read; the daemon's log says why")
	errClear      = errors.New("this port takes tokens from this machine alone, as they are sent in clear: use the TLS port, and give this client another token")
	errExpired    = errors.New("this client's certificate has expired, or its authority is trusted no more")
)

// Credentials authenticates by client certificates, which the TLS layer has verified when the connection began and whose authority must
// be one that is trusted now, and by the tokens of a file, if there is one. A nil trusts stands for all.
func Credentials(tokenFile string, trusts func(authority *x509.Certificate) bool) Authenticate {
	t := newTokens(tokenFile)
	return func(r *http.Request) (User, error) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			return byCertificate(r.TLS.VerifiedChains, trusts)
		}
		token, ok := tokenIn(r)
		if !ok {
			return User{}, errNobody
		}
		return t.find(token)
	}
}

// Plain is for a port without TLS: everybody has a role there. A token of a file, if there is one, may give that of a reader, and no
// more; it counts on this machine alone, as it can be read on the way.
func Plain(role Role, tokenFile string) Authenticate {
	t := newTokens(tokenFile)
	return func(r *http.Request) (User, error) {
		anyone := User{"the plain port", role}
		token, ok := tokenIn(r)
		if !ok || tokenFile == "" {
			return anyone, nil
		}
		if !isOnLoopback(r) {
			return User{}, errClear
		}
		u, err := t.find(token)
		u.Role = max(min(u.Role, Reader), role)
		return u, err
	}
}

func isOnLoopback(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return err == nil && ok && remote.Addr().Unmap().IsLoopback() && local.IP.IsLoopback()
}

// tokenIn is the token that a request carries. A browser asks its user for a name and a password: that is the token.
func tokenIn(r *http.Request) (token string, ok bool) {
	if token, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok {
		_, token, ok = r.BasicAuth()
	}
	return strings.TrimSpace(token), ok
}

func byCertificate(chains [][]*x509.Certificate, trusts func(*x509.Certificate) bool) (User, error) {
	c := chains[0][0]
	// The connection may have begun long ago.
	trusted := slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool { return trusts == nil || trusts(chain[len(chain)-1]) })
	if !trusted || !c.NotAfter.IsZero() && time.Now().After(c.NotAfter) {
		return User{}, errExpired
	}
	u := User{Name: c.Subject.CommonName}
	for _, group := range c.Subject.Organization {
		u.Role = max(u.Role, groups[group])
	}
	if u.Role == None {
		return u, fmt.Errorf("the certificate of %q has no group (O) with a role: solopod:admin, solopod:read-only or solopod:metrics", u.Name)
	}
	return u, nil
}

// tokens are those of a file.
type tokens struct {
	path string
	read func(path string) ([]knownToken, error)
	watched[[]knownToken]
}

func newTokens(path string) *tokens {
	t := &tokens{path: path, read: readTokens}
	t.watched = watched[[]knownToken]{
		what: "the tokens in " + path, turn: make(chan struct{}, 1),
		err: errUnanswered, // until a look at it has ended
		look: func() (string, error) {
			stamp, err := trusted.Look(path, trusted.Secret)
			return string(stamp), err
		},
		load: func() ([]knownToken, error) { return t.read(path) },
	}
	return t
}

type knownToken struct {
	hash [sha256.Size]byte
	user User
}

func (t *tokens) find(token string) (User, error) {
	if t.path == "" || token == "" {
		return User{}, errToken
	}
	list, err := t.current()
	if err != nil { // whose path is nothing for those who are not let in
		return User{}, errUnreadable
	}
	hash, found := sha256.Sum256([]byte(token)), User{}
	for _, k := range list { // all of them, so that time does not tell
		if subtle.ConstantTimeCompare(k.hash[:], hash[:]) == 1 {
			found = k.user
		}
	}
	if found.Role == None {
		return found, errToken
	}
	return found, nil
}

// CheckTokens says what is wrong with a file of tokens.
func CheckTokens(path string) error {
	_, err := readTokens(path)
	return err
}

// readTokens reads a file of tokens, which must be root's alone.
func readTokens(path string) ([]knownToken, error) {
	data, err := trusted.Read(path, trusted.Secret, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	return parseTokens(path, data)
}

// parseTokens reads lines TOKEN,USER,ROLE, where the role is admin, read-only or metrics; # begins a comment.
func parseTokens(path string, data []byte) ([]knownToken, error) {
	var out []knownToken
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) != 3 || len(fields[0]) < minToken || slices.Contains(fields, "") || roles[fields[2]] == None {
			return nil, fmt.Errorf("%s:%d: want TOKEN,USER,ROLE: a token of at least %d characters, and the role admin, read-only or metrics", path, n, minToken)
		}
		out = append(out, knownToken{sha256.Sum256([]byte(fields[0])), User{fields[1], roles[fields[2]]}})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the tokens in %s: %w", path, err)
	}
	return out, nil
}

// maxFile bounds a file of tokens, certificates or a key, in bytes.
const maxFile = 4 << 20

// minToken is the shortest token: shorter ones can be guessed.
const minToken = 16
