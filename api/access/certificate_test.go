package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shown is the certificate that a client sees now.
func shown(t *testing.T, i *Identity) *x509.Certificate {
	t.Helper()
	c, err := i.Config().GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificates[0].Leaf
}

// pair writes a certificate and its key, for so long.
func pair(t *testing.T, certFile, keyFile, name string, lasts time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	if err != nil {
		t.Fatal(err)
	}
}

// A certificate is made once, and kept; half of one is made anew.
func TestCertificate(t *testing.T) {
	own := TLS{Dir: filepath.Join(t.TempDir(), "tls"), Names: []string{"box"}, Addresses: []net.IP{net.IPv4(192, 0, 2, 7)}}
	first, err := own.Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := shown(t, first)
	if c.VerifyHostname("box") != nil || c.VerifyHostname("192.0.2.7") != nil || c.NotAfter.Before(time.Now().AddDate(10, 0, 0)) {
		t.Errorf("the certificate: %v", c)
	}
	again, err := own.Identity()
	if err != nil || again.Fingerprint() != first.Fingerprint() {
		t.Errorf("it was made again: %v", err)
	}
	key, crt := filepath.Join(own.Dir, "server.key"), filepath.Join(own.Dir, "server.crt")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if err := os.Truncate(key, 10); err != nil { // as a power cut leaves it
		t.Fatal(err)
	}
	if again, err = own.Identity(); err != nil || again.Fingerprint() == first.Fingerprint() {
		t.Errorf("a damaged key: %v", err)
	}
	for _, wrong := range []TLS{{CertFile: "x"}, {CertFile: "/none", KeyFile: "/none"}, {Dir: own.Dir, ClientCAFile: "/none"}, {Dir: own.Dir, ClientCAFile: key}} {
		if _, err := wrong.Identity(); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	for file, says := range map[string]string{key: "others can change the private key", crt: "others can change the file"} {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Chmod(file, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own.Identity(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s for all: %v", file, err)
		}
		if err := os.Chmod(file, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	// Near its end it is made anew, at a start and while it is in use; one of an operator's in its place is not.
	pair(t, crt, key, commonName, remaining/2)
	if again, err = own.Identity(); err != nil || time.Until(again.Certificate().NotAfter) < validity-time.Hour {
		t.Fatalf("near its end: %v", err)
	}
	pair(t, crt, key, commonName, remaining/2)
	shown(t, again) // it is read
	if c := shown(t, again); time.Until(c.NotAfter) < validity-time.Hour {
		t.Errorf("near its end, in use: %s", c.NotAfter)
	}
	pair(t, crt, key, "operator", remaining/2)
	shown(t, again)
	if c := shown(t, again); c.Subject.CommonName != "operator" {
		t.Errorf("an operator's: %v", c.Subject)
	}
	if again, err = own.Identity(); err != nil || again.Certificate().Subject.CommonName != "operator" {
		t.Errorf("an operator's, at a start: %v", err)
	}
}

// New files count for the next client; broken ones do not, nor those that others could change.
func TestNewCertificates(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	pair(t, at("crt"), at("key"), "first", time.Hour)
	pair(t, at("ca"), at("ca.key"), "authority", time.Hour)
	i, err := TLS{CertFile: at("crt"), KeyFile: at("key"), ClientCAFile: at("ca")}.Identity()
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, name string) {
		t.Helper()
		if got := shown(t, i).Subject.CommonName; got != name {
			t.Errorf("%s it is the %s", when, got)
		}
	}
	want("at first", "first")
	pair(t, at("crt"), at("key"), "second", time.Hour)
	want("after a change", "second")
	pair(t, at("new.crt"), at("new.key"), "third", time.Hour)
	if err := os.Rename(at("new.key"), at("key")); err != nil {
		t.Fatal(err)
	}
	want("between key and certificate", "second")
	if err := os.Rename(at("new.crt"), at("crt")); err != nil {
		t.Fatal(err)
	}
	want("with both", "third")
	if err := os.Chmod(at("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	pair(t, at("crt"), at("key"), "fourth", time.Hour) // the mode stays
	want("with a key for all", "third")
	if err := os.Chmod(at("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("with one that is root's", "fourth")
	if err := os.Remove(at("crt")); err != nil {
		t.Fatal(err)
	}
	want("without a certificate", "fourth")
	pair(t, at("crt"), at("key"), "fifth", time.Hour)
	want("with one again", "fifth")

	old := i.value.config.ClientCAs
	authority := func() *x509.Certificate {
		p, err := tls.LoadX509KeyPair(at("ca"), at("ca.key"))
		if err != nil {
			t.Fatal(err)
		}
		return p.Leaf
	}
	before := authority()
	if !i.Trusts(before) {
		t.Error("the authority is not trusted")
	}
	client := &x509.Certificate{Subject: pkix.Name{CommonName: "c", Organization: []string{"solopod:admin"}}, NotAfter: time.Now().Add(time.Hour)}
	r := request("")
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{client, before}}}
	who := Credentials("", i.Trusts)
	if u, err := who(r); err != nil || u.Role != Admin {
		t.Errorf("a client: %+v, %v", u, err)
	}
	client.NotAfter = time.Now().Add(-time.Minute)
	if u, err := who(r); err == nil {
		t.Errorf("a client whose certificate has expired since: %+v", u)
	}
	client.NotAfter = time.Now().Add(time.Hour)
	pair(t, at("ca"), at("ca.key"), "another", time.Hour)
	if i.Trusts(before) || !i.Trusts(authority()) {
		t.Error("a change of authorities does not count")
	}
	if c, err := i.Config().GetConfigForClient(nil); err != nil || c.ClientCAs.Equal(old) {
		t.Errorf("new clients have the old authorities: %v", err)
	}
	if u, err := who(r); err == nil {
		t.Errorf("a client of an authority that is trusted no more: %+v", u)
	}
}
