// Package provider asks programs for the logins of registries: credential provider plugins, which speak the kubelet's protocol
// (credentialprovider.kubelet.k8s.io/v1; https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/).
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/runner/program"
)

// Login is what a registry wants to know.
type Login struct{ User, Password string }

// Providers are the plugins of a machine. They are safe for concurrent use.
type Providers struct {
	dir  string
	list []plugin
	// limit is how long a plugin may take, as the kubelet's.
	limit time.Duration

	mu    sync.Mutex
	cache map[string]answer
}

// answer is what a plugin has said, by patterns of images.
type answer struct {
	logins map[string]Login
	until  time.Time
}

const (
	askLimit = time.Minute
	// mostCached bounds the answers that are kept.
	mostCached = 500
	apiVersion = "credentialprovider.kubelet.k8s.io/v1"
)

// request and response are the two messages of the protocol.
type (
	request struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Image      string `json:"image"`
	}
	response struct {
		Kind          string           `json:"kind"`
		APIVersion    string           `json:"apiVersion"`
		CacheKeyType  string           `json:"cacheKeyType"`
		CacheDuration *metav1.Duration `json:"cacheDuration"`
		Auth          map[string]struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auth"`
	}
)

// Login asks those plugins that are for an image, which is a complete name, one after the other until one knows a login. known says
// whether one does.
func (p *Providers) Login(ctx context.Context, image string) (login Login, known bool, err error) {
	if p == nil {
		return Login{}, false, nil
	}
	repository := repositoryOf(image)
	var errs []error
	for i := range p.list {
		plugin := &p.list[i]
		if !plugin.isFor(repository) {
			continue
		}
		logins, err := p.ask(ctx, plugin, repository)
		if err != nil {
			errs = append(errs, fmt.Errorf("credential provider %s: %w", plugin.Name, err))
			continue
		}
		if login, ok := choose(logins, repository); ok {
			return login, true, nil
		}
	}
	return Login{}, false, errors.Join(errs...)
}

// repositoryOf is an image's name without tag and digest, as the kubelet asks for.
func repositoryOf(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}

// keys are under which an answer may be kept, by its cacheKeyType.
func keys(plugin, repository string) map[string]string {
	host, _, _ := strings.Cut(repository, "/")
	return map[string]string{"Image": plugin + " image " + repository, "Registry": plugin + " registry " + host, "Global": plugin}
}

func (p *Providers) ask(ctx context.Context, plugin *plugin, repository string) (map[string]Login, error) {
	by := keys(plugin.Name, repository)
	if logins, ok := p.cached(by); ok {
		return logins, nil
	}
	input, err := json.Marshal(request{Kind: "CredentialProviderRequest", APIVersion: apiVersion, Image: repository})
	if err != nil {
		return nil, err
	}
	run := program.Run{Path: filepath.Join(p.dir, plugin.Name), Args: plugin.Args, Env: os.Environ(), Input: input}
	for _, e := range plugin.Env {
		run.Env = append(run.Env, e.Name+"="+e.Value)
	}
	text, err := run.Ask(ctx, p.limit)
	if err != nil {
		return nil, err
	}
	var r response
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, errors.New("its answer is no JSON of the protocol's form") // which may have a password
	}
	if r.Kind != "CredentialProviderResponse" || r.APIVersion != apiVersion {
		return nil, fmt.Errorf("it answers with %q of %q; %s is asked for", r.Kind, r.APIVersion, apiVersion)
	}
	key, ok := by[r.CacheKeyType]
	if !ok {
		return nil, fmt.Errorf("its cacheKeyType is %q; there are Image, Registry and Global", r.CacheKeyType)
	}
	a := answer{logins: map[string]Login{}}
	for pattern, l := range r.Auth {
		a.logins[pattern] = Login{l.Username, l.Password}
	}
	keep := plugin.DefaultCacheDuration.Duration
	if r.CacheDuration != nil {
		keep = r.CacheDuration.Duration
	}
	a.until = time.Now().Add(keep)
	p.keep(key, a)
	return a.logins, nil
}

func (p *Providers) cached(by map[string]string) (map[string]Login, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kind := range []string{"Image", "Registry", "Global"} {
		if a, ok := p.cache[by[kind]]; ok && time.Now().Before(a.until) {
			return a.logins, true
		}
	}
	return nil, false
}

func (p *Providers) keep(key string, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cache) >= mostCached {
		clear(p.cache) // they are asked again
	}
	p.cache[key] = a
}

// choose is the login of the pattern that says the most of those that match.
func choose(logins map[string]Login, repository string) (login Login, ok bool) {
	best := ""
	for pattern, l := range logins {
		if (!ok || len(pattern) > len(best) || len(pattern) == len(best) && pattern < best) && matches(pattern, repository) {
			best, login, ok = pattern, l, true
		}
	}
	return login, ok
}
