package inspection

import (
	"fmt"
	"net"
	"time"
)

// Bounds of what is good enough.
const (
	nearEnd       = 30 * 24 * time.Hour
	minRSA        = 2048
	minToken      = 22 // 128 bits in base64
	minDifferent  = 8
	plainReadOnly = "metrics"
)

var listenerChecks = []check{
	{
		"plain-port-exposed", Warning, "the plain port answers other machines, which need no password",
		`listen on 127.0.0.1, or use tlsListen, which asks who it is; "" for no plain port`,
		func(f *Facts) []string {
			address := f.Settings.Text("listen")
			if address == "" || isLoopback(address) {
				return nil
			}
			return []string{"listen: " + address}
		},
	},
	{
		"plain-port-read", Warning, "whoever reaches the plain port, each local user too, reads pods, events and containers' logs",
		`set plainPort: metrics, or listen: "" and use the socket`,
		func(f *Facts) []string {
			return when(f.Settings.Text("listen") != "" && f.Settings.Text("plainPort") != plainReadOnly)
		},
	},
	{
		"tls-nobody", Warning, "the TLS port knows nobody", "set clientCAFile or authTokenFile",
		func(f *Facts) []string {
			return when(f.Settings.isSet("tlsListen") && !f.Settings.isSet("clientCAFile") && !f.Settings.isSet("authTokenFile"))
		},
	},
	{
		"certificate-end", Warning, "a certificate is at its end, or soon", "issue a new one",
		func(f *Facts) (out []string) {
			for _, c := range f.Certificates {
				if c.Until.Before(f.Now.Add(nearEnd)) {
					out = append(out, fmt.Sprintf("%s is good until %s", c.Path, c.Until.UTC().Format(time.DateOnly)))
				}
			}
			return out
		},
	},
	{
		"certificate-weak", Warning, "a certificate's key or signature is weak", "issue one with a key of ECDSA, or of RSA with 2048 bits or more, and SHA-256",
		func(f *Facts) (out []string) {
			for _, c := range f.Certificates {
				switch {
				case c.Weak != "":
					out = append(out, fmt.Sprintf("%s is signed with %s", c.Path, c.Weak))
				case c.KeyBits > 0 && c.KeyBits < minRSA:
					out = append(out, fmt.Sprintf("%s has an RSA key of %d bits", c.Path, c.KeyBits))
				}
			}
			return out
		},
	},
	{
		"token-weak", Warning, "a token can be guessed", "make tokens with: openssl rand -hex 32",
		func(f *Facts) (out []string) {
			for _, t := range f.Tokens {
				if t.Length < minToken || t.Different < minDifferent {
					out = append(out, fmt.Sprintf("of user %s: %d characters, %d different ones", t.User, t.Length, t.Different))
				}
			}
			return out
		},
	},
}

// isLoopback says whether an address to listen on can be reached from this machine alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var policyChecks = []check{
	{
		"pod-security", Info, "manifests may ask for anything: podSecurity is not set, or privileged", "set podSecurity: baseline or restricted, with exceptions for namespaces that need more",
		func(f *Facts) []string {
			switch v := f.Settings["podSecurity"].(type) {
			case string:
				return when(v == "" || v == "privileged")
			case map[string]any:
				enforce, _ := v["enforce"].(string)
				return when(enforce == "" || enforce == "privileged")
			}
			return when(true)
		},
	},
	{
		"policy", Info, "manifests may use any host path, image, port and device: there is no policy", "set policy in the configuration to what this box needs",
		func(f *Facts) []string { return when(!f.Settings.isSet("policy")) },
	},
	{
		"seccomp-default", Info, "containers without a seccompProfile may call whatever the kernel has", "set seccompDefault: true",
		func(f *Facts) []string { return when(!f.Settings.isSet("seccompDefault")) },
	},
	{
		"signatures", Info, "manifests need no signature: who can write into the directory is root", "set manifestKeyFile if manifests come from elsewhere",
		func(f *Facts) []string { return when(!f.Settings.isSet("manifestKeyFile")) },
	},
	{
		"audit-nowhere", Warning, "who has changed what is written nowhere", "set auditLog, or logLevel: info",
		func(f *Facts) []string {
			level := f.Settings.Text("logLevel")
			return when(!f.Settings.isSet("auditLog") && level != "" && level != "info" && level != "debug")
		},
	},
}
