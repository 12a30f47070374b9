package access

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func request(token string, groups ...string) *http.Request {
	r := &http.Request{Header: http.Header{}}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if len(groups) > 0 {
		c := &x509.Certificate{Subject: pkix.Name{CommonName: "c", Organization: groups}}
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c}}}
	}
	return r
}

// Who is let in, and as what.
func TestCredentials(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const admin, reader = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	write("# who\n" + admin + ",root,admin\n\n" + reader + ",prometheus,read-only\n")
	who := Credentials(path)
	for _, c := range []struct {
		r    *http.Request
		name string
		role Role
		err  string
	}{
		{request(admin), "root", Admin, ""}, {request(reader), "prometheus", Reader, ""},
		{request(""), "", None, "who are you"}, {request("cccccccccccccccc"), "", None, "not known"}, {request("aaaa"), "", None, "not known"},
		{request("", "solopod:read-only"), "c", Reader, ""}, {request("", "x", "solopod:admin", "solopod:read-only"), "c", Admin, ""},
		{request("", "system:masters"), "c", Admin, ""}, {request("", "system:nodes"), "c", None, "has no group"},
		{request(admin, "system:nodes"), "c", None, "has no group"}, // a certificate is not helped by a token
	} {
		u, err := who(c.r)
		if c.err == "" && (err != nil || u != (User{c.name, c.role})) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%v %v: %+v, %v", c.r.Header, c.r.TLS, u, err)
		}
	}
	browser := request("")
	browser.SetBasicAuth("anyone", reader)
	if u, err := who(browser); err != nil || u != (User{"prometheus", Reader}) {
		t.Errorf("a browser: %+v, %v", u, err)
	}
	write(admin + ",root,read-only\n")
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if u, err := who(request(admin)); err != nil || u.Role != Reader {
		t.Errorf("after an edit: %+v, %v", u, err)
	}
	if u, err := who(request(reader)); err == nil {
		t.Errorf("a token that was removed: %+v", u)
	}
	for text, want := range map[string]string{
		"short,u,admin\n": ":1: want TOKEN,USER,ROLE", "\n" + admin + ",u\n": ":2:", admin + ",u,owner\n": ":1:", admin + ",,admin\n": ":1:",
	} {
		write(text)
		if err := CheckTokens(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	write(admin + ",u,admin\n")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := CheckTokens(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
	if _, err := Credentials("")(request(admin)); err == nil {
		t.Error("without a file a token is known")
	}
}

// While the file of tokens does not answer those that it held count, and what it holds counts at once when it does.
func TestTokensThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		const first, second = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		known := newTokens(path)
		var hang chan struct{}
		looks := 0
		known.read = func(path string) ([]knownToken, error) {
			looks++
			if hang != nil {
				<-hang
			}
			return readTokens(path)
		}
		ask := func(token string, want Role, within time.Duration) {
			t.Helper()
			begun := time.Now()
			u, err := known.find(token)
			if u.Role != want || (err == nil) != (want != None) {
				t.Errorf("%+v, %v", u, err)
			}
			if took := time.Since(begun); took > within {
				t.Errorf("it took %s", took)
			}
		}
		write(first + ",a,admin\n")
		hang = make(chan struct{})
		ask(first, None, lookLimit) // nothing is known yet
		close(hang)
		synctest.Wait()
		ask(first, Admin, 0)
		hang = make(chan struct{})
		write(first + ",a,read-only\n" + second + ",b,admin\n")
		ask(first, Admin, lookLimit)
		for range 100 {
			ask(first, Admin, 0)
		}
		ask(second, None, 0)
		if synctest.Wait(); looks != 2 {
			t.Errorf("the file is looked at %d times", looks)
		}
		close(hang)
		synctest.Wait()
		ask(first, Reader, 0)
		ask(second, Admin, 0)
		write(first + ",a,admin\n")
		ask(first, Admin, 0)
		ask(second, None, 0)
	})
}

// A certificate is made once, and kept; half of one is made anew.
func TestCertificate(t *testing.T) {
	own := TLS{Dir: filepath.Join(t.TempDir(), "tls"), Names: []string{"box"}, Addresses: []net.IP{net.IPv4(192, 0, 2, 7)}}
	first, err := own.Config()
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(first.Certificates[0].Certificate[0])
	if err != nil || c.VerifyHostname("box") != nil || c.VerifyHostname("192.0.2.7") != nil || c.NotAfter.Before(time.Now().AddDate(10, 0, 0)) {
		t.Errorf("the certificate: %v, %v", c, err)
	}
	again, err := own.Config()
	if err != nil || Fingerprint(again) != Fingerprint(first) {
		t.Errorf("it was made again: %v", err)
	}
	key := filepath.Join(own.Dir, "server.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if err := os.Truncate(key, 10); err != nil { // as a power cut leaves it
		t.Fatal(err)
	}
	if again, err = own.Config(); err != nil || Fingerprint(again) == Fingerprint(first) {
		t.Errorf("a damaged key: %v", err)
	}
	for _, wrong := range []TLS{{CertFile: "x"}, {CertFile: "/none", KeyFile: "/none"}, {Dir: own.Dir, ClientCAFile: "/none"}, {Dir: own.Dir, ClientCAFile: key}} {
		if _, err := wrong.Config(); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}
