package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/api/trusted"
	"github.com/solopod/solopod/runner/durable"
)

// TLS is how the TLS port shows itself, and whom it knows.
type TLS struct {
	// CertFile and KeyFile are the server's own; both empty means those that Solopod makes, and keeps, in Dir.
	CertFile, KeyFile, Dir string
	// ClientCAFile holds the authorities that clients' certificates are of; empty means that none are accepted.
	ClientCAFile string
	// Names and addresses go into a certificate that Solopod makes.
	Names     []string
	Addresses []net.IP
}

// Identity is how the TLS port shows itself now, and whom it knows: files are read again when they change.
type Identity struct{ watched[*settings] }

// settings are made of what the files held at one time.
type settings struct {
	config      *tls.Config
	leaf        *x509.Certificate
	authorities map[[sha256.Size]byte]bool
}

// Identity reads the files, and makes a certificate where there is none. Later on, what cannot be used of them is told in the log, and what
// was read before counts.
func (t TLS) Identity() (*Identity, error) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("tlsCertFile and tlsPrivateKeyFile go together")
	}
	own := t.CertFile == ""
	if own {
		t.CertFile, t.KeyFile = filepath.Join(t.Dir, "server.crt"), filepath.Join(t.Dir, "server.key")
		if err := t.make(t.CertFile, t.KeyFile); err != nil {
			return nil, fmt.Errorf("cannot make a certificate: %w", err)
		}
	}
	seen, err := t.look()
	if err != nil {
		return nil, err
	}
	first, err := t.load()
	if err != nil {
		return nil, err
	}
	i := &Identity{watched[*settings]{
		what: "the TLS port's certificates", keep: true, turn: make(chan struct{}, 1), seen: seen, value: first, look: t.look, load: t.load,
	}}
	if own {
		i.look = func() (string, error) { return t.renew(i.Certificate()) }
	}
	return i, nil
}

// renew looks at the files. A certificate of Solopod's own that is near its end is made anew first.
func (t TLS) renew(now *x509.Certificate) (string, error) {
	seen, err := t.look()
	if err != nil || time.Until(now.NotAfter) > remaining || !isOwn(now) {
		return seen, err
	}
	if err := t.write(t.CertFile, t.KeyFile); err != nil {
		return seen, fmt.Errorf("cannot make a certificate in place of one that ends %s: %w", now.NotAfter.Format(time.DateOnly), err)
	}
	return t.look()
}

// Config is for a listener: each connection has what holds then.
func (i *Identity) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols, SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s, _ := i.current() // an error is in the log, and what was read before counts
			return s.config, nil
		},
	}
}

// Certificate is the one that was shown last.
func (i *Identity) Certificate() *x509.Certificate {
	s, _ := i.last() // an error is in the log
	return s.leaf
}

// Trusts says whether an authority of clients is one that counts now.
func (i *Identity) Trusts(authority *x509.Certificate) bool {
	s, _ := i.current() // an error is in the log, and what was read before counts
	return s.authorities[sha256.Sum256(authority.Raw)]
}

// Fingerprint identifies the certificate, as openssl x509 -fingerprint -sha256 does.
func (i *Identity) Fingerprint() string {
	return fmt.Sprintf("%X", sha256.Sum256(i.Certificate().Raw))
}

// protocols: HTTP/2 has no upgrades.
var protocols = []string{"http/1.1"}

// look tells what the files are now, and whether they are root's alone.
func (t TLS) look() (string, error) {
	out := ""
	for _, f := range []struct {
		path, what string
		kind       trusted.Kind
	}{{t.CertFile, "the server's certificate", trusted.Public}, {t.KeyFile, "the server's certificate", trusted.Key}, {t.ClientCAFile, "clientCAFile", trusted.Public}} {
		if f.path == "" {
			continue
		}
		stamp, err := trusted.Look(f.path, f.kind)
		if err != nil {
			return "", fmt.Errorf("cannot use %s: %w", f.what, err)
		}
		out += string(stamp) + "\n"
	}
	return out, nil
}

func (t TLS) load() (*settings, error) {
	pair, err := loadPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use the server's certificate: %w", err)
	}
	s := &settings{leaf: pair.Leaf, authorities: map[[sha256.Size]byte]bool{}, config: &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: protocols,
		SessionTicketsDisabled: true, // a session goes on no longer than what holds for its certificates
	}}
	if t.ClientCAFile == "" {
		return s, nil
	}
	text, err := trusted.Read(t.ClientCAFile, trusted.Public, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use clientCAFile: %w", err)
	}
	s.config.ClientAuth, s.config.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil { // others in the file may be good
			slog.Warn("clientCAFile holds a certificate that cannot be used", "file", t.ClientCAFile, "err", err)
			continue
		}
		s.config.ClientCAs.AddCert(c)
		s.authorities[sha256.Sum256(c.Raw)] = true
	}
	if len(s.authorities) == 0 {
		return nil, fmt.Errorf("clientCAFile %s holds no certificate", t.ClientCAFile)
	}
	return s, nil
}

// loadPair is tls.LoadX509KeyPair for files that must be root's alone.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	certificate, err := trusted.Read(certFile, trusted.Public, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := trusted.Read(keyFile, trusted.Key, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}

// commonName is in certificates that Solopod makes.
const commonName = "solopod"

// isOwn: Solopod has made it, and no operator.
func isOwn(c *x509.Certificate) bool {
	return c.Subject.CommonName == commonName && bytes.Equal(c.RawIssuer, c.RawSubject)
}

// validity of a certificate that Solopod makes: a box may stand in the field for long, and its clock may be wrong.
const validity = 20 * 365 * 24 * time.Hour

// remaining is how long before its end such a certificate is made anew.
const remaining = 30 * 24 * time.Hour

// make has a certificate made unless there is one that is good for long, or one of an operator's. Files that others could change are an
// error.
func (t TLS) make(certFile, keyFile string) error {
	_, cerr := trusted.Look(certFile, trusted.Public)
	_, kerr := trusted.Look(keyFile, trusted.Key)
	for _, err := range []error{cerr, kerr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	pair, err := loadPair(certFile, keyFile)
	if err == nil && (time.Until(pair.Leaf.NotAfter) > remaining || !isOwn(pair.Leaf)) {
		return nil
	}
	werr := t.write(certFile, keyFile)
	if err == nil && werr != nil {
		slog.Error("cannot make a certificate in place of one that ends", "ends", pair.Leaf.NotAfter, "err", werr)
		return nil
	}
	return werr
}

// write writes a key and a certificate that it has signed itself.
func (t TLS) write(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	begin := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) // not now: the clock may be behind when it is looked at
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName}, NotBefore: begin, NotAfter: time.Now().Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: t.Names, IPAddresses: t.Addresses, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return durable.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
