package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func testKey(t testing.TB, b byte) *Key {
	t.Helper()
	k, err := newKey(bytes.Repeat([]byte{b}, keySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	key, shown := testKey(t, 1), []string{"PATH=/bin", "A=image"}
	p := Process{Env: []string{"PATH=/bin", "A=hunter2", "EMPTY=", "LINES=a\nb"}, Args: []string{"sh", "-c", "hunter2 \"'\x01"}}
	env, err := key.Seal(p, shown)
	if err != nil {
		t.Fatal(err)
	}
	if len(env) != 3 || !slices.Equal(env[:2], shown) || strings.Contains(strings.Join(env, " "), "hunter2") || len(shown) != 2 {
		t.Fatalf("sealed: %q", env)
	}
	if again, _ := key.Seal(p, shown); again[2] == env[2] {
		t.Error("the same twice looks the same")
	}
	if got, err := key.Open(env); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("opened: %+v, %v", got, err)
	}
	if !Is(env) || Is(shown) || Is(nil) || !slices.Equal(Shown(env), shown) {
		t.Error("what is sealed is not told from what is shown")
	}
	if got := Added(append(env, "TERM=xterm")); !slices.Equal(got, []string{"TERM=xterm"}) {
		t.Errorf("added: %q", got)
	}

	p.Env = append(p.Env, entry+"the image's")
	if env, err := key.Seal(p, append(slices.Clone(shown), entry+"the image's")); err != nil || len(env) != 3 {
		t.Errorf("of an image that has the variable: %q, %v", env, err)
	} else if got, err := key.Open(env); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("of an image that has the variable: %+v, %v", got, err)
	}

	if _, err := testKey(t, 2).Open(env); !errors.Is(err, ErrNoKey) {
		t.Errorf("with another key: %v", err)
	}
	for name, bad := range map[string][]string{
		"nothing": shown, "no base64": {entry + "%"}, "cut off": {env[2][:len(env[2])-8]}, "short": {entry + "AAAA"}, "empty": {entry},
	} {
		if got, err := key.Open(bad); err == nil || len(got.Env) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestSpecs(t *testing.T) {
	key := testKey(t, 1)
	env, err := key.Seal(Process{Env: []string{"A=hunter2"}, Args: []string{"echo", "<hunter2>"}}, []string{"PATH=/bin"})
	if err != nil {
		t.Fatal(err)
	}
	ofKey := func() (*Key, error) { return key, nil }
	quoted, _ := json.Marshal(append(env, "TERM=xterm"))
	process := `{"cwd":"/","args":["echo","$(A)"],"env":` + string(quoted) + `,"user":{"uid":7}}`
	config := `{"ociVersion":"1.0.2","future":{"x":[1]},"process":` + process + `}`

	plain, err := Unsealed([]byte(config), ofKey)
	same(t, plain, err, `{"ociVersion":"1.0.2","future":{"x":[1]},"process":{"cwd":"/","args":["echo","<hunter2>"],"env":["A=hunter2","TERM=xterm"],"user":{"uid":7}}}`)
	plain, err = UnsealedProcess([]byte(process), ofKey)
	same(t, plain, err, `{"cwd":"/","args":["echo","$(A)"],"env":["A=hunter2","TERM=xterm"],"user":{"uid":7}}`)
	plain, err = Stripped([]byte(config))
	same(t, plain, err, `{"ociVersion":"1.0.2","future":{"x":[1]},"process":{"cwd":"/","args":["echo","$(A)"],"env":["PATH=/bin","TERM=xterm"],"user":{"uid":7}}}`)

	none := func() (*Key, error) { t.Error("the key was asked for"); return nil, ErrNoKey }
	for _, open := range []string{`{}`, `{"process":{"env":["A=1"],"args":["x"]}}`, `{"process":{}}`} {
		if got, err := Unsealed([]byte(open), none); got != nil || err != nil {
			t.Errorf("%s: %s, %v", open, got, err)
		}
		if got, err := Stripped([]byte(open)); string(got) != open || err != nil {
			t.Errorf("%s: %s, %v", open, got, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{"process":[]}`, `{"process":{"env":"A"}}`} {
		if got, err := Unsealed([]byte(bad), none); got != nil || err == nil {
			t.Errorf("%q: %s, %v", bad, got, err)
		}
	}
	if _, err := Unsealed([]byte(config), func() (*Key, error) { return nil, ErrNoKey }); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

func same(t *testing.T, got []byte, err error, want string) {
	t.Helper()
	var a, b any
	if err != nil || json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func FuzzUnsealed(f *testing.F) {
	key := testKey(f, 1)
	env, err := key.Seal(Process{Env: []string{"A=1"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"process":{"env":["` + env[0] + `"]}}`))
	f.Add([]byte(`{"process":{"env":["SOLOPOD_SEALED=AAAA"]}}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		plain, err := Unsealed(config, func() (*Key, error) { return key, nil })
		if err != nil && plain != nil || plain != nil && !json.Valid(plain) {
			t.Errorf("%q: %q, %v", config, plain, err)
		}
		if shown, err := Stripped(config); err == nil && plain != nil && bytes.Contains(shown, []byte(entry)) {
			t.Errorf("%q stripped: %q", config, shown)
		}
	})
}
