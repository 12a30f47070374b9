package inspection

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"strings"

	"github.com/solopod/solopod/runner/foreign"
)

// tokens looks at the file of tokens.
func (l *looker) tokens() {
	path := l.facts.Settings.Text("authTokenFile")
	if path == "" {
		return
	}
	if data, ok := try(l, path, func() ([]byte, error) { return foreign.ReadFollowing(path, maxFile) }); ok {
		l.facts.Tokens = parseTokens(string(data))
	}
}

// parseTokens reads lines TOKEN,USER,ROLE.
func parseTokens(text string) (out []Token) {
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) != 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		different := map[rune]bool{}
		for _, r := range fields[0] {
			different[r] = true
		}
		out = append(out, Token{User: fields[1], Length: len(fields[0]), Different: len(different)})
	}
	return out
}

// certificates looks at those of the TLS port.
func (l *looker) certificates() {
	s := l.facts.Settings
	if s.Text("tlsListen") == "" {
		return
	}
	own := s.Text("tlsCertFile")
	if own == "" && s.Text("root") != "" {
		own = filepath.Join(s.Text("root"), "tls", "server.crt")
	}
	for _, path := range []string{own, s.Text("clientCAFile")} {
		if path == "" {
			continue
		}
		if data, ok := try(l, path, func() ([]byte, error) { return foreign.ReadFollowing(path, maxFile) }); ok {
			l.facts.Certificates = append(l.facts.Certificates, parseCertificates(path, data)...)
		}
	}
}

// parseCertificates reads those of a PEM file.
func parseCertificates(path string, data []byte) (out []Certificate) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // a client or the listener says so
		}
		c := Certificate{Path: path, Until: parsed.NotAfter}
		if key, ok := parsed.PublicKey.(*rsa.PublicKey); ok {
			c.KeyBits = key.N.BitLen()
		}
		switch parsed.SignatureAlgorithm {
		case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			c.Weak = parsed.SignatureAlgorithm.String()
		}
		out = append(out, c)
	}
}
