package image

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/image/pull"
)

// Pull fetches an image from its registry, with credentials where it has them. An image is pulled once for all who ask for it
// meanwhile. When ctx ends it returns at once, and the pull ends when nobody else waits for it.
func (s *Store) Pull(ctx context.Context, ref string, logins Credentials) (engine.Image, error) {
	name, err := Normalize(ref)
	if err != nil {
		return engine.Image{}, err
	}
	present, err := s.Get(ctx, ref)
	if err == nil {
		return present, nil // another pod was first
	}
	if brought, err := s.bring(ctx, ref); err == nil || ctx.Err() != nil {
		return brought, err
	}
	instead := Instead(err)
	pulled, err := s.puller.Pull(ctx, name, logins)
	if err != nil && instead != "" {
		err = fmt.Errorf("%w; there is %s", err, instead)
	}
	return pulled, err
}

// Update fetches an image from its registry unless the one that is present is what the registry has under that name. One by its digest
// needs no question.
func (s *Store) Update(ctx context.Context, ref string, logins Credentials) (engine.Image, error) {
	present, err := s.Get(ctx, ref)
	if err != nil {
		return s.Pull(ctx, ref, logins)
	}
	if same, err := s.newest(ctx, ref, present, logins, updateLimit); err != nil || same {
		return present, err
	}
	name, err := Normalize(ref)
	if err != nil {
		return engine.Image{}, err
	}
	return s.puller.Pull(ctx, name, logins)
}

const (
	// askLimit is how long a registry may take to say which image a name means: a container waits for it.
	askLimit = 5 * time.Second
	// updateLimit is that where nothing waits that could go on without: a far registry, or a plugin for its login, may take as long.
	updateLimit = 30 * time.Second
)

// Newest says whether the image that is present is what the registry has under that name now.
func (s *Store) Newest(ctx context.Context, ref string, present engine.Image, logins Credentials) (bool, error) {
	return s.newest(ctx, ref, present, logins, askLimit)
}

func (s *Store) newest(ctx context.Context, ref string, present engine.Image, logins Credentials, limit time.Duration) (bool, error) {
	w, err := parse(ref)
	if err != nil || w.digest != "" {
		return w.digest != "", err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	login, hide := s.asked(ctx, w.name, logins.For)
	digest, err := s.settings.Digest(ctx, w.name, login)
	if err != nil {
		return false, logins.Hide(hide(err))
	}
	return digest == present.Digest, nil
}

// fetch implements pull.Fetch.
func (s *Store) fetch(ctx context.Context, name string, login remote.Login) (engine.Image, error) {
	began := time.Now()
	login, hide := s.asked(ctx, name, login)
	image, err := s.engine.Pull(ctx, name, s.settings.Registries.By(login), s.disk.sync)
	err = hide(err)
	s.count("pull", began, err)
	if err == nil {
		s.ready([]engine.Image{image})
	}
	return image, err
}

// asked is a login that asks the machine's credential providers where the pod has none for the image's registry, when that wants one. hide
// keeps from an error's text what they have said.
func (s *Store) asked(ctx context.Context, name string, login remote.Login) (remote.Login, func(error) error) {
	if s.settings.Providers == nil {
		return login, func(err error) error { return err }
	}
	registry, _, _ := strings.Cut(name, "/")
	var mu sync.Mutex
	said := Credentials{}
	return func(host string) (user, password string, err error) {
			user, password, err = login(host)
			if err != nil || user != "" || password != "" || pull.HostOf(host) != registry {
				return user, password, err // a mirror does not get what is the registry's
			}
			l, known, err := s.settings.Providers.Login(ctx, name)
			if err != nil {
				return "", "", fmt.Errorf("%w: %w", remote.ErrNoLogin, err)
			}
			if !known {
				return "", "", nil
			}
			mu.Lock()
			defer mu.Unlock()
			said[registry] = pull.Login(l)
			return l.User, l.Password, nil
		}, func(err error) error {
			mu.Lock()
			defer mu.Unlock()
			return said.Hide(err)
		}
}
