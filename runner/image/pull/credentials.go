package pull

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/seal"
)

// Credentials of registries, by host.
type Credentials map[string]Login

// Login is what one registry wants to know.
type Login struct{ User, Password string }

// For returns user and password for a registry's host; both are empty when none are known.
func (c Credentials) For(host string) (user, password string, err error) {
	l := c[HostOf(host)]
	return l.User, l.Password, nil
}

// HostOf is the registry whose images a host has, as images' names say it.
func HostOf(host string) string {
	if host == "registry-1.docker.io" { // where docker.io's images are
		return "docker.io"
	}
	return host
}

// dockerLogin is an entry of Docker's configuration file.
type dockerLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

// Add takes the logins of an image pull secret. No error shows what is in it.
func (c Credentials) Add(s *v1.Secret) error {
	logins := map[string]dockerLogin{}
	var err error
	switch s.Type {
	case v1.SecretTypeDockerConfigJson:
		config := struct {
			Auths map[string]dockerLogin `json:"auths"`
		}{}
		err = json.Unmarshal(s.Data[v1.DockerConfigJsonKey], &config)
		logins = config.Auths
	case v1.SecretTypeDockercfg:
		err = json.Unmarshal(s.Data[v1.DockerConfigKey], &logins)
	default:
		return fmt.Errorf("secret %q is of type %s; registries want %s", s.Name, s.Type, v1.SecretTypeDockerConfigJson)
	}
	if err != nil {
		return fmt.Errorf("secret %q is not Docker's configuration", s.Name)
	}
	for server, l := range logins {
		if l.Auth != "" {
			decoded, err := base64.StdEncoding.DecodeString(l.Auth)
			user, password, ok := strings.Cut(string(decoded), ":")
			if err != nil || !ok {
				return fmt.Errorf("secret %q: the auth of %s is not base64 of user:password", s.Name, server)
			}
			l.Username, l.Password = user, password
		}
		c[hostOf(server)] = Login{l.Username, l.Password}
	}
	return nil
}

// leastHidden is the length of passwords that are looked for: a shorter one would be found everywhere.
const leastHidden = 4

// Hide keeps passwords from an error's text: a registry may send back what it was sent.
func (c Credentials) Hide(err error) error {
	instead := map[string]string{}
	for host, l := range c {
		if len(l.Password) >= leastHidden {
			hidden := "(password for " + host + ")"
			instead[l.Password], instead[base64.StdEncoding.EncodeToString([]byte(l.User+":"+l.Password))] = hidden, hidden
		}
	}
	return seal.HideValues(err, instead)
}

// hostOf: Docker writes URLs, some with a path: https://index.docker.io/v1/ is docker.io.
func hostOf(server string) string {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	host, _, _ := strings.Cut(server, "/")
	if host == "index.docker.io" {
		return "docker.io"
	}
	return host
}
