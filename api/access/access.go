// Package access says who may do what: a user is found by the other side of the unix socket, by a client certificate or by a
// token, and has one of two roles.
package access

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// Role is what a user may do.
type Role int

const (
	// None may nothing.
	None Role = iota
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

// Anyone lets everybody in with a role.
func Anyone(name string, role Role) Authenticate {
	return func(*http.Request) (User, error) { return User{name, role}, nil }
}

type peerKey struct{}

// WithPeer keeps who is at the other side of a unix socket; it is an http.Server's ConnContext.
func WithPeer(ctx context.Context, c net.Conn) context.Context {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, fmt.Sprintf("uid %d, pid %d", cred.Uid, cred.Pid))
}

// Socket is for a unix socket: whoever may open it is an admin.
func Socket(r *http.Request) (User, error) {
	name, ok := r.Context().Value(peerKey{}).(string)
	if !ok {
		name = "the socket"
	}
	return User{name, Admin}, nil
}

// The groups (organizations) of a client's certificate that have a role. Those that are not Solopod's are what kubeadm gives a
// kube-apiserver to use with kubelets.
var groups = map[string]Role{
	"solopod:read-only": Reader, "solopod:admin": Admin, "system:masters": Admin, "kubeadm:cluster-admins": Admin,
}

var (
	errNobody = errors.New("who are you? Use a client certificate or a token (Authorization: Bearer ...)")
	errToken  = errors.New("this token is not known")
)

// Credentials authenticates by client certificates, which the TLS layer has verified, and by the tokens of a file, if there is one.
func Credentials(tokenFile string) Authenticate {
	t := &tokens{path: tokenFile}
	return func(r *http.Request) (User, error) {
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			return byCertificate(r.TLS.VerifiedChains[0][0])
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok { // a browser asks its user for a name and a password: that is the token
			_, token, ok = r.BasicAuth()
		}
		if !ok {
			return User{}, errNobody
		}
		return t.find(strings.TrimSpace(token))
	}
}

func byCertificate(c *x509.Certificate) (User, error) {
	u := User{Name: c.Subject.CommonName}
	for _, group := range c.Subject.Organization {
		u.Role = max(u.Role, groups[group])
	}
	if u.Role == None {
		return u, fmt.Errorf("the certificate of %q has no group (O) with a role: solopod:admin or solopod:read-only", u.Name)
	}
	return u, nil
}

// tokens are those of a file, which is read again when it changes.
type tokens struct {
	path string
	mu   sync.Mutex
	at   time.Time
	size int64
	list []knownToken
}

type knownToken struct {
	hash [sha256.Size]byte
	user User
}

func (t *tokens) find(token string) (User, error) {
	if t.path == "" || token == "" {
		return User{}, errToken
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(); err != nil {
		return User{}, err
	}
	hash, found := sha256.Sum256([]byte(token)), User{}
	for _, k := range t.list { // all of them, so that time does not tell
		if subtle.ConstantTimeCompare(k.hash[:], hash[:]) == 1 {
			found = k.user
		}
	}
	if found.Role == None {
		return found, errToken
	}
	return found, nil
}

// load reads the file when it is another one than before.
func (t *tokens) load() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("cannot read the tokens: %w", err)
	}
	if info.ModTime().Equal(t.at) && info.Size() == t.size {
		return nil
	}
	list, err := readTokens(t.path)
	if err != nil {
		return err
	}
	t.list, t.at, t.size = list, info.ModTime(), info.Size()
	return nil
}

// CheckTokens says what is wrong with a file of tokens.
func CheckTokens(path string) error {
	_, err := readTokens(path)
	return err
}

// readTokens reads a file of lines TOKEN,USER,ROLE, where the role is admin or read-only; # begins a comment. A file that others
// can read is refused.
func readTokens(path string) ([]knownToken, error) {
	f, err := foreign.OpenFollowing(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	defer f.Close()       //nolint:errcheck // only read from
	info, err := f.Stat() // of just the file that is read
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others can read the tokens in %s: chmod 600 it", path)
	}
	data, err := foreign.ReadAll(f, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the tokens: %w", err)
	}
	var out []knownToken
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ",")
		roles := map[string]Role{"admin": Admin, "read-only": Reader}
		if len(fields) != 3 || len(fields[0]) < minToken || slices.Contains(fields, "") || roles[fields[2]] == None {
			return nil, fmt.Errorf("%s:%d: want TOKEN,USER,ROLE: a token of at least %d characters, and the role admin or read-only", path, n, minToken)
		}
		out = append(out, knownToken{sha256.Sum256([]byte(fields[0])), User{fields[1], roles[fields[2]]}})
	}
	return out, lines.Err()
}

// maxFile bounds a file of tokens, certificates or a key, in bytes.
const maxFile = 4 << 20

// minToken is the shortest token: shorter ones can be guessed.
const minToken = 16
