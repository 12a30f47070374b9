package access

import (
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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
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

// Config makes the server's configuration, and a certificate where there is none.
func (t TLS) Config() (*tls.Config, error) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("tlsCertFile and tlsPrivateKeyFile go together")
	}
	certFile, keyFile := t.CertFile, t.KeyFile
	if certFile == "" {
		certFile, keyFile = filepath.Join(t.Dir, "server.crt"), filepath.Join(t.Dir, "server.key")
		if err := t.make(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("cannot make a certificate: %w", err)
		}
	}
	pair, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot use the server's certificate: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}} // upgrades need it
	if t.ClientCAFile == "" {
		return c, nil
	}
	authorities, err := foreign.ReadFollowing(t.ClientCAFile, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read clientCAFile: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("clientCAFile %s holds no certificate", t.ClientCAFile)
	}
	return c, nil
}

// loadPair is tls.LoadX509KeyPair for files that may be anything.
func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	certificate, err := foreign.ReadFollowing(certFile, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := foreign.ReadFollowing(keyFile, maxFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}

// Fingerprint identifies the certificate that a configuration shows, as openssl x509 -fingerprint -sha256 does.
func Fingerprint(c *tls.Config) string {
	sum := sha256.Sum256(c.Certificates[0].Certificate[0])
	return fmt.Sprintf("%X", sum)
}

// validity of a certificate that Solopod makes: a box may stand in the field for long, and its clock may be wrong.
const validity = 20 * 365 * 24 * time.Hour

// make writes a key and a certificate that it has signed itself, unless both are there.
func (t TLS) make(certFile, keyFile string) error {
	if _, err := loadPair(certFile, keyFile); err == nil {
		return nil
	}
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
		SerialNumber: serial, Subject: pkix.Name{CommonName: "solopod"}, NotBefore: begin, NotAfter: time.Now().Add(validity),
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
