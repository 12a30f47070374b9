package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// file is a CredentialProviderConfig.
type file struct {
	metav1.TypeMeta `json:",inline"`
	Providers       []plugin `json:"providers"`
}

// plugin is one of its providers.
type plugin struct {
	Name                 string           `json:"name"`
	MatchImages          []string         `json:"matchImages"`
	DefaultCacheDuration *metav1.Duration `json:"defaultCacheDuration"`
	APIVersion           string           `json:"apiVersion"`
	Args                 []string         `json:"args"`
	Env                  []variable       `json:"env"`
	TokenAttributes      any              `json:"tokenAttributes"`
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Parse reads the text of a CredentialProviderConfig; the programs lie in dir.
func Parse(text []byte, dir string) (*Providers, error) {
	var f file
	if err := yaml.UnmarshalStrict(text, &f); err != nil {
		return nil, err
	}
	group, version, _ := strings.Cut(f.APIVersion, "/")
	if f.Kind != "CredentialProviderConfig" || group != "kubelet.config.k8s.io" || version != "v1" && version != "v1beta1" && version != "v1alpha1" {
		return nil, fmt.Errorf("it is %q of %q, and no CredentialProviderConfig of kubelet.config.k8s.io/v1", f.Kind, f.APIVersion)
	}
	if len(f.Providers) == 0 {
		return nil, errors.New("it has no providers")
	}
	seen := map[string]bool{}
	for i := range f.Providers {
		p := &f.Providers[i]
		if err := p.check(dir, seen); err != nil {
			return nil, fmt.Errorf("providers[%d] (%s): %w", i, p.Name, err)
		}
		seen[p.Name] = true
	}
	return &Providers{dir: dir, list: f.Providers, limit: askLimit, cache: map[string]answer{}}, nil
}

func (p *plugin) check(dir string, seen map[string]bool) error {
	switch {
	case p.Name == "" || p.Name == "." || p.Name == ".." || strings.ContainsAny(p.Name, "/ \x00"):
		return errors.New("name is to be that of a program in imageCredentialProviderBinDir")
	case seen[p.Name]:
		return errors.New("there are two of that name")
	case p.APIVersion != apiVersion:
		return fmt.Errorf("apiVersion is %q; %s is what is spoken", p.APIVersion, apiVersion)
	case p.DefaultCacheDuration == nil || p.DefaultCacheDuration.Duration < 0:
		return errors.New("defaultCacheDuration is to be a duration like 12h, or 0s")
	case len(p.MatchImages) == 0:
		return errors.New("matchImages says for which images it is, like [\"*.registry.example.com\"]")
	case p.TokenAttributes != nil:
		return errors.New("tokenAttributes: there are no tokens of service accounts without an API server")
	}
	for _, m := range p.MatchImages {
		if host, _, _ := split(m); host == "" || strings.Contains(m, "://") {
			return fmt.Errorf("matchImages: %q is no pattern like *.registry.example.com/team", m)
		}
		if _, err := path.Match(m, ""); err != nil {
			return fmt.Errorf("matchImages: %q: %w", m, err)
		}
	}
	if _, err := exec.LookPath(filepath.Join(dir, p.Name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no program %s", filepath.Join(dir, p.Name))
		}
		return err
	}
	return nil
}

// isFor says whether a plugin knows logins for a repository.
func (p *plugin) isFor(repository string) bool {
	for _, m := range p.MatchImages {
		if matches(m, repository) {
			return true
		}
	}
	return false
}

// split takes a repository, or a pattern of such, apart.
func split(name string) (host, port, rest string) {
	host, rest, _ = strings.Cut(name, "/")
	if h, p, err := net.SplitHostPort(host); err == nil {
		host, port = h, p
	}
	return host, port, rest
}

// matches is the kubelet's rule: as many labels in the domain, each by its glob; the same port, or none;
// and the path as a prefix.
func matches(pattern, repository string) bool {
	host, port, prefix := split(pattern)
	ofHost, ofPort, rest := split(repository)
	globs, labels := strings.Split(host, "."), strings.Split(ofHost, ".")
	if len(globs) != len(labels) || port != ofPort || !strings.HasPrefix(rest, prefix) {
		return false
	}
	for i, g := range globs {
		if ok, err := path.Match(g, labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
