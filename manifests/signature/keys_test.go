package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/ssh"
)

// author can sign in both ways.
type author struct {
	mini    minisign.PrivateKey
	miniKey string // a line of the file of keys
	ssh     ssh.Signer
	sshKey  string // without a principal
}

// newAuthor is always the same for a number: the processes of a fuzz test share what they find.
func newAuthor(t testing.TB, number byte) author {
	t.Helper()
	seed := bytes.Repeat([]byte{number}, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed)
	var public minisign.PublicKey
	var private minisign.PrivateKey
	id := bytes.Repeat([]byte{number}, 8)
	text := func(parts ...[]byte) []byte {
		return []byte(base64.StdEncoding.EncodeToString(bytes.Join(parts, nil)))
	}
	// A secret key without a password has no salt and no checksum.
	secret := text([]byte("Ed\x00\x00B2"), make([]byte, 48), id, key, make([]byte, 32))
	if err := errors.Join(public.UnmarshalText(text([]byte("Ed"), id, key.Public().(ed25519.PublicKey))), private.UnmarshalText(secret)); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return author{private, public.String(), signer, line(signer.PublicKey())}
}

func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return line(public)
}

func TestParseKeys(t *testing.T) {
	a, b := newAuthor(t, 1), newAuthor(t, 2)
	file := "untrusted comment: minisign public key 1\n" + a.miniKey + "\n"
	for name, c := range map[string]struct {
		text  string
		keys  int
		fails string
	}{
		"minisign":             {a.miniKey, 1, ""},
		"files of minisign":    {file + file, 2, ""},
		"lines of Windows":     {strings.ReplaceAll("# x\n\n"+file, "\n", "\r\n"), 1, ""},
		"allowed signers":      {"alice@example.com " + a.sshKey + "\nbob,carol " + b.sshKey + " a comment\n", 2, ""},
		"a file of OpenSSH":    {a.sshKey + " alice@box", 1, ""},
		"quoted":               {`"alice bob" ` + a.sshKey, 1, ""},
		"with tabs":            {"alice\t" + strings.ReplaceAll(a.sshKey, " ", "\t"), 1, ""},
		"with options":         {`* namespaces="git,solopod",valid-after="20260101",Valid-Before=203001011200Z ` + a.sshKey, 1, ""},
		"all kinds":            {"# all\n" + file + "alice " + b.sshKey, 2, ""},
		"nothing":              {"", 0, "it holds no public key"},
		"a comment":            {"# x\n \nuntrusted comment: y", 0, "it holds no public key"},
		"half of minisign's":   {a.miniKey[:40], 0, "line 1: cannot be read as a public key of minisign"},
		"a secret key":         {"untrusted comment: minisign encrypted secret key\n" + base64.StdEncoding.EncodeToString(make([]byte, 158)), 0, "line 2: cannot be read as a public key of minisign"},
		"another algorithm":    {base64.StdEncoding.EncodeToString(make([]byte, 42)), 0, "invalid public key algorithm"},
		"the second line":      {a.miniKey + "\nalice ssh-ed25519\n", 0, "line 2: cannot be read as a public key of OpenSSH"},
		"a principal alone":    {`"alice bob"`, 0, "there is no key behind the principals"},
		"an open quote":        {`"alice ` + a.sshKey, 0, "there is no key behind the principals"},
		"two principals":       {"alice bob " + a.sshKey, 0, `the option "bob" is none of`},
		"an unknown option":    {"alice verify-required " + a.sshKey, 0, `the option "verify-required" is none of`},
		"an authority":         {"alice cert-authority " + a.sshKey, 0, "certificates are not verified"},
		"no time":              {"alice valid-before=2027 " + a.sshKey, 0, `"2027" is no time like`},
		"no month":             {"alice valid-before=20271301 " + a.sshKey, 0, `"20271301" is no time like`},
		"no namespace":         {`alice namespaces="" ` + a.sshKey, 0, "is no list of names"},
		"an odd namespace":     {`alice namespaces="[a-z]*" ` + a.sshKey, 0, "is no list of names"},
		"a weak key":           {"alice " + rsaKey(t, 1024), 0, "a key of RSA with 1024 bits is too weak"},
		"a good key of RSA":    {"alice " + rsaKey(t, 2048), 1, ""},
		"too many":             {strings.Repeat(a.miniKey+"\n", MaxKeys+1), 0, "line 1001: there are more than 1000 keys"},
		"as many as there may": {strings.Repeat(a.miniKey+"\n", MaxKeys), MaxKeys, ""},
		"a private key":        {"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", 0, "line 1: cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeys([]byte(c.text))
			if n := len(k.minisign) + len(k.ssh); n != c.keys {
				t.Errorf("%d keys", n)
			}
			if said := fmt.Sprint(err); c.fails == "" && err != nil || !strings.Contains(said, c.fails) {
				t.Errorf("says %s", said)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for patterns, want := range map[string]bool{
		"": true, "solopod": true, "git,solopod": true, "solo*": true, "*": true, "s?lopod": true,
		"git": false, "!solopod": false, "*,!solopod": false, "!solopod,*": false, "!git": false, "*,!git": true, "Solopod": false,
	} {
		if matches(patterns, Namespace) != want {
			t.Errorf("%q: %t", patterns, !want)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"20270131Z":       time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		"202701311205Z":   time.Date(2027, 1, 31, 12, 5, 0, 0, time.UTC),
		"20270131120506Z": time.Date(2027, 1, 31, 12, 5, 6, 0, time.UTC),
		"20270131120506":  time.Date(2027, 1, 31, 12, 5, 6, 0, time.Local),
		"":                {}, "Z": {}, "2027": {}, "20270132": {}, "2027013112": {}, "2027-01-31": {}, "20270131 ": {}, "20270131120506.5": {},
	} {
		got, err := parseTime(text)
		if !got.Equal(want) || (err == nil) == want.IsZero() {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
