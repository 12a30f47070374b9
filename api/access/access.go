// Package access says who may do what: a user is found by the other side of the unix socket, by a client certificate or by a
// token, and has one of two roles.
package access

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

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
	t := newTokens(tokenFile)
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

// tokens are those of a file, which is read again when it changes. Nobody waits long for its file system: while that does not answer, the
// tokens of the last time count.
type tokens struct {
	path string
	read func(path string) ([]knownToken, error)
	// turn is taken by who looks at the file; what follows is that one's.
	turn chan struct{}
	at   time.Time
	size int64

	mu sync.Mutex
	// list, or err, is what was found last.
	list []knownToken
	err  error
	hung bool // a look at the file has taken longer than lookLimit, and goes on
}

// lookLimit is how long a request waits for the file of tokens, which is a local one as a rule. Only one request does, of those that come
// while a look at the file hangs.
const lookLimit = 2 * time.Second

func newTokens(path string) *tokens {
	return &tokens{
		path: path, read: readTokens, turn: make(chan struct{}, 1),
		err: fmt.Errorf("cannot read the tokens: the file system of %s does not answer", path), // until a look at it has ended
	}
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
	if err != nil {
		return User{}, err
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

// current is what the file holds now, or what it held when it last answered.
func (t *tokens) current() ([]knownToken, error) {
	limit := time.NewTimer(lookLimit)
	defer limit.Stop()
	looked := make(chan struct{})
	if !t.isHung() {
		select {
		case t.turn <- struct{}{}:
			go func() { // left behind when it hangs: no more than one
				t.look(looked)
				<-t.turn
			}()
			select {
			case <-looked:
			case <-limit.C:
				t.leave(looked)
			}
		case <-limit.C:
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list, t.err
}

func (t *tokens) isHung() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hung
}

// leave notes that a look at the file hangs, unless it has ended in this moment.
func (t *tokens) leave(looked <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-looked:
	default:
		t.hung = true
	}
}

// look reads the file when it is another one than before, and closes looked.
func (t *tokens) look(looked chan<- struct{}) {
	list, err := t.list, t.err // written here alone
	info, serr := os.Stat(t.path)
	if serr != nil {
		list, err, t.at = nil, fmt.Errorf("cannot read the tokens: %w", serr), time.Time{}
	} else if err != nil || !info.ModTime().Equal(t.at) || info.Size() != t.size {
		list, err = t.read(t.path)
		t.at, t.size = info.ModTime(), info.Size()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list, t.err, t.hung = list, err, false
	close(looked)
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
