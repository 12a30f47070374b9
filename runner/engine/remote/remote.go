// Package remote reaches registries: by which hosts and certificates (containerd's hosts.toml), through which proxy, and what is done when
// one is slow, busy, or loses the connection.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/pelletier/go-toml/v2"

	"github.com/solopod/solopod/runner/foreign"
)

// DefaultDir is where containerd's own users keep hosts.toml files, a directory for each registry.
const DefaultDir = "/etc/containerd/certs.d"

// Login says who a registry's host is told that asks; both are empty for nobody.
type Login func(host string) (user, password string, err error)

// Registries is how all of them are reached. It is safe for concurrent use.
type Registries struct {
	dir    string
	quiet  time.Duration
	pauses *pauses
}

// New reads, for each request anew, what dir says of a registry.
func New(dir string) *Registries {
	return &Registries{dir: dir, quiet: quietLimit, pauses: newPauses()}
}

// Access is that of one pull.
type Access struct {
	registries *Registries
	login      Login
}

// By is the access of somebody.
func (r *Registries) By(login Login) Access { return Access{r, login} }

// Login says who a host is told that asks.
func (a Access) Login(host string) (user, password string, err error) { return a.login(host) }

// Resolver finds images, and fetches what they consist of. end is to be called when nothing is asked of it any more.
func (a Access) Resolver(ctx context.Context) (found remotes.Resolver, end func()) {
	var made []*http.Transport
	hosts := config.ConfigureHosts(ctx, config.HostOptions{
		HostDir: a.registries.hostDir, Credentials: a.login,
		UpdateClient: func(c *http.Client) error {
			if t, ok := c.Transport.(*http.Transport); ok { // else it was wrapped before
				made = append(made, t)
				c.Transport = a.registries.wrap(t)
			}
			return nil
		},
	})
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts}), func() {
		for _, t := range made {
			t.CloseIdleConnections()
		}
	}
}

// Advise adds to an error what can be done about it, where that is known.
func (a Access) Advise(name string, err error) error { return a.registries.advise(name, err) }

// Digest asks the registry which image a name means now. It costs one request or two, and no layer.
func (r *Registries) Digest(ctx context.Context, name string, login Login) (string, error) {
	found, end := r.By(login).Resolver(ctx)
	defer end()
	_, desc, err := found.Resolve(ctx, name)
	if err != nil {
		return "", fmt.Errorf("cannot ask for the digest of %s: %w", name, r.advise(name, err))
	}
	return desc.Digest.String(), nil
}

// maxHosts bounds a hosts.toml, in bytes.
const maxHosts = 256 << 10

// hostDir is the directory of a registry; empty when it has none. containerd takes a hosts.toml that it cannot read for none, and would ask
// elsewhere than it is told.
func (r *Registries) hostDir(host string) (string, error) {
	if r.dir == "" {
		return "", nil
	}
	dir, err := config.HostDirFromRoot(r.dir)(host)
	if err != nil || dir == "" {
		return dir, err
	}
	path := filepath.Join(dir, "hosts.toml")
	text, err := foreign.ReadFollowing(path, maxHosts)
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil // certificates, as Docker has them
	}
	if err == nil {
		err = check(text)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return dir, nil
}

// hostsFile and hostTable are what a hosts.toml may have (containerd's docs/hosts.md).
type (
	hostsFile struct {
		hostTable
		Server string               `toml:"server"`
		Host   map[string]hostTable `toml:"host"`
	}
	hostTable struct {
		Capabilities []string       `toml:"capabilities"`
		CA           any            `toml:"ca"`
		Client       any            `toml:"client"`
		SkipVerify   *bool          `toml:"skip_verify"`
		Header       map[string]any `toml:"header"`
		OverridePath bool           `toml:"override_path"`
		DialTimeout  string         `toml:"dial_timeout"`
	}
)

// check says what is wrong with a hosts.toml, with its line where it has one.
func check(text []byte) error {
	var f hostsFile
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		if s := new(toml.StrictMissingError); errors.As(err, &s) && len(s.Errors) > 0 {
			row, _ := s.Errors[0].Position()
			return fmt.Errorf("line %d: unknown setting %q", row, strings.Join(s.Errors[0].Key(), "."))
		}
		if s := new(toml.DecodeError); errors.As(err, &s) {
			row, _ := s.Position()
			return fmt.Errorf("line %d: %w", row, err)
		}
		return err
	}
	if err := f.check("the server", f.Server); err != nil {
		return err
	}
	for url, t := range f.Host {
		if err := t.check("host "+url, url); err != nil {
			return err
		}
	}
	return nil
}

func (t *hostTable) check(what, server string) error {
	if scheme, _, ok := strings.Cut(server, "://"); ok && scheme != "http" && scheme != "https" {
		return fmt.Errorf("%s: %s is no way to reach a registry; write https:// or http://", what, scheme)
	}
	for _, c := range t.Capabilities {
		if !slices.Contains([]string{"pull", "resolve", "push", "referrers"}, strings.ToLower(c)) {
			return fmt.Errorf("%s: unknown capability %q; there are pull, resolve, push and referrers", what, c)
		}
	}
	if t.DialTimeout != "" {
		if _, err := time.ParseDuration(t.DialTimeout); err != nil {
			return fmt.Errorf("%s: dial_timeout: %w", what, err)
		}
	}
	return nil
}
