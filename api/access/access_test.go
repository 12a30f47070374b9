package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
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
	who := Credentials(path, nil)
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
		"short,u,admin\n": ":1: want TOKEN,USER,ROLE", "\n" + admin + ",u\n": ":2:", admin + ",u,owner\n": ":1:", admin + ",u,Admin\n": ":1:", admin + ",,admin\n": ":1:",
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
	if _, err := Credentials("", nil)(request(admin)); err == nil {
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

// What everybody may do on the plain port, and who has a token there.
func TestPlain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	const admin, scraper = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	if err := os.WriteFile(path, []byte(admin+",root,admin\n"+scraper+",prometheus,metrics\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := func(token, remote, local string) *http.Request {
		r := request(token)
		r.RemoteAddr = remote
		return r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(local), Port: 10255}))
	}
	const here, there = "127.0.0.1:5000", "192.0.2.1:5000"
	for _, c := range []struct {
		what string
		who  Authenticate
		r    *http.Request
		role Role
	}{
		{"no token", Plain(Scraper, path), from("", here, "127.0.0.1"), Scraper},
		{"no token, from elsewhere", Plain(Scraper, path), from("", there, "192.0.2.2"), Scraper},
		{"an admin's", Plain(Scraper, path), from(admin, here, "127.0.0.1"), Reader},
		{"an admin's, IPv6", Plain(Scraper, path), from(admin, "[::1]:5000", "::1"), Reader},
		{"an admin's, IPv4 in IPv6", Plain(Scraper, path), from(admin, "[::ffff:127.0.0.1]:5000", "127.0.0.1"), Reader},
		{"a scraper's", Plain(Scraper, path), from(scraper, here, "127.0.0.1"), Scraper},
		{"a scraper's, where all may read", Plain(Reader, path), from(scraper, here, "127.0.0.1"), Reader},
		{"an admin's, where all may read", Plain(Reader, path), from(admin, here, "127.0.0.1"), Reader},
		{"an unknown one", Plain(Scraper, path), from("cccccccccccccccc", here, "127.0.0.1"), None},
		{"an admin's, from elsewhere", Plain(Scraper, path), from(admin, there, "192.0.2.2"), None},
		{"one where none count", Plain(Scraper, ""), from(admin, there, "192.0.2.2"), Scraper},
	} {
		u, err := c.who(c.r)
		if u.Role != c.role && err == nil || (err != nil) != (c.role == None) {
			t.Errorf("%s: %+v, %v", c.what, u, err)
		}
	}
}

// A file of tokens that others could have made or changed lets nobody in, also when only its mode or owner has changed.
func TestTokensOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	const token = "aaaaaaaaaaaaaaaa"
	if err := os.WriteFile(path, []byte(token+",root,admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	who := Credentials(path, nil)
	for _, c := range []struct {
		mode os.FileMode
		uid  int
		role Role
		says string
	}{
		{0o600, 0, Admin, ""}, {0o666, 0, None, "chmod 600"}, {0o600, 0, Admin, ""}, {0o640, 0, None, "chmod 600"}, {0o600, 65534, None, "chown root"},
		{0o400, 0, Admin, ""},
	} {
		if err := errors.Join(os.Chmod(path, c.mode), os.Chown(path, c.uid, -1)); err != nil {
			t.Fatal(err)
		}
		u, err := who(request(token))
		if u.Role != c.role || err != nil && strings.Contains(err.Error(), path) {
			t.Errorf("mode %o, uid %d: %+v, %v", c.mode, c.uid, u, err)
		}
		if err := CheckTokens(path); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("mode %o, uid %d: %v", c.mode, c.uid, err)
		}
	}
}

// Whatever a file of tokens holds, only whole lines make users, none of them without a role, a name and a token of some length.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"", "#\n", "aaaaaaaaaaaaaaaa,u,admin\n", "aaaaaaaaaaaaaaaa,u,metrics\r\n", "aaaaaaaaaaaaaaaa,,admin", "a,b,c,d\n", "aaaaaaaaaaaaaaaa,u,admin\nx", "\x00,\xff,admin"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseTokens("tokens", data)
		if err != nil && list != nil {
			t.Errorf("%v with %v", list, err)
		}
		for _, k := range list {
			if k.user.Name == "" || k.user.Role <= None || k.user.Role > Admin {
				t.Errorf("%+v", k.user)
			}
		}
		if len(list) > len(data)/minToken {
			t.Errorf("%d tokens of %d bytes", len(list), len(data))
		}
	})
}

// Whatever Authorization says, who sends no token of the file is nobody.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "bearer aaaaaaaaaaaaaaaa", "Basic", "Basic Og==", "Basic eDphYWFhYWFhYWFhYWFhYWFhYg==", "Bearer a,b", "Negotiate x"} {
		f.Add(seed)
	}
	path := filepath.Join(f.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("aaaaaaaaaaaaaaaa,root,admin\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	who := Credentials(path, nil)
	f.Fuzz(func(t *testing.T, header string) {
		r := request("")
		r.Header.Set("Authorization", header)
		u, err := who(r)
		token, _ := tokenIn(r)
		if known := token == "aaaaaaaaaaaaaaaa"; (err == nil) != known || (u.Role == Admin) != known {
			t.Errorf("%q: %+v, %v", header, u, err)
		}
	})
}
