package reference

import (
	"errors"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "one", "EMPTY": "", "B": "$(A)"}
	for in, want := range map[string]string{
		"":               "",
		"plain":          "plain",
		"$(A)":           "one",
		"x$(A)y$(A)":     "xoneyone",
		"$(EMPTY)":       "",
		"$(NONE)":        "$(NONE)",
		"$$(A)":          "$(A)",
		"$$$(A)":         "$one",
		"$A ${A}":        "$A ${A}",
		"$(A":            "$(A",
		"$":              "$",
		"$$":             "$",
		"cost: 5$":       "cost: 5$",
		"$(B)":           "$(A)", // a value is not expanded again
		"$()":            "$()",
		"$(A)$(NONE)$$x": "one$(NONE)$x",
	} {
		if got := Expand(in, env); got != want {
			t.Errorf("Expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$(A)", "$$(A)", "$(", "$", "a$(B)c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.Contains(s, "$") && Expand(s, nil) != s {
			t.Errorf("%q has no reference and changed", s)
		}
		if doubled := strings.ReplaceAll(s, "$", "$$"); Expand(doubled, map[string]string{"A": "x"}) != s {
			t.Errorf("doubled dollars do not protect %q", s)
		}
	})
}

func inputs() *Inputs {
	return &Inputs{
		Pod: &v1.Pod{},
		Objects: Objects{
			ConfigMaps: map[string]*v1.ConfigMap{"cm": {Data: map[string]string{"a": "1", "b.c": "2", "d=e": "3"}, BinaryData: map[string][]byte{"bin": {0}}}},
			Secrets:    map[string]*v1.Secret{"s": {Data: map[string][]byte{"a": []byte("secret")}}},
		},
		ReadFile: func(_, path string) ([]byte, error) {
			if path == "env" {
				return []byte("A='x'\n"), nil
			}
			return nil, errors.New("no such file")
		},
	}
}

// The order of variables, prefixes, and what optional references leave out (Kubernetes, EnvVar and EnvFromSource).
func TestEnv(t *testing.T) {
	configMap := func(key string, optional bool) *v1.EnvVarSource {
		return &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Key: key, Optional: ptr.To(optional)}}
	}
	from := func(name, prefix string, optional bool) v1.EnvFromSource {
		return v1.EnvFromSource{Prefix: prefix, ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: name}, Optional: ptr.To(optional)}}
	}
	file := func(path, key string, optional bool) *v1.EnvVarSource {
		return &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "v", Path: path, Key: key, Optional: ptr.To(optional)}}
	}
	for name, c := range map[string]struct {
		from []v1.EnvFromSource
		env  []v1.EnvVar
		want []string
		err  string
	}{
		"values refer to those before": {env: []v1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)2"}, {Name: "C", Value: "$(D)"}, {Name: "D", Value: "4"}, {Name: "A", Value: "5"}},
			want: []string{"A=5", "B=12", "C=$(D)", "D=4"}},
		"all keys, but for those that are no names, and binary ones": {from: []v1.EnvFromSource{from("cm", "", false)}, want: []string{"a=1", "b.c=2"}},
		"with a prefix, which env can refer to":                      {from: []v1.EnvFromSource{from("cm", "P_", false)}, env: []v1.EnvVar{{Name: "X", Value: "$(P_a)"}}, want: []string{"P_a=1", "P_b.c=2", "X=1"}},
		"env wins":                                                   {from: []v1.EnvFromSource{from("cm", "", false)}, env: []v1.EnvVar{{Name: "a", Value: "own"}}, want: []string{"a=own", "b.c=2"}},
		"a missing object":                                           {from: []v1.EnvFromSource{from("none", "", false)}, err: `envFrom[0]: ConfigMap "none"`},
		"an optional object":                                         {from: []v1.EnvFromSource{from("none", "", true)}},
		"a key":                                                      {env: []v1.EnvVar{{Name: "X", ValueFrom: configMap("a", false)}}, want: []string{"X=1"}},
		"a missing key":                                              {env: []v1.EnvVar{{Name: "X", ValueFrom: configMap("none", false)}}, err: `variable X: ConfigMap "cm" has no key "none"`},
		"an optional key":                                            {env: []v1.EnvVar{{Name: "X", ValueFrom: configMap("none", true)}}},
		"a file":                                                     {env: []v1.EnvVar{{Name: "X", ValueFrom: file("env", "A", false)}}, want: []string{"X=x"}},
		"a file without the key":                                     {env: []v1.EnvVar{{Name: "X", ValueFrom: file("env", "B", false)}}, err: "has no key"},
		"a missing file":                                             {env: []v1.EnvVar{{Name: "X", ValueFrom: file("none", "A", false)}}, err: "no such file"},
		"an optional missing one":                                    {env: []v1.EnvVar{{Name: "X", ValueFrom: file("none", "A", true)}}},
	} {
		got, err := inputs().Env(&v1.Container{EnvFrom: c.from, Env: c.env})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: the error is %v", name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestEnvFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"A=1\nB='2'\n":                     "A=1 B=2",
		"# comment\n\n  A='x # y' # why\n": "A=x # y",
		"A='two\nlines'\nB='x'":            "A=two\nlines B=x",
		"A=''":                             "A=",
		"A":                                "line 1 is not NAME='value'",
		"A='x":                             "the quote that begins in line 1 does not end",
		"B='1\n2'\nA='x' y":                "line 3: something follows the closing quote",
		"A B='x'":                          "line 1 is not NAME='value'",
	} {
		values, err := parseEnvFile(text)
		var out []string
		for _, key := range sortedKeys(values) {
			out = append(out, key+"="+string(values[key]))
		}
		got := strings.Join(out, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A='x'\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseEnvFile(text)
		if err == nil && !strings.Contains(text, "=") && len(values) > 0 {
			t.Errorf("%q gives %v", text, values)
		}
	})
}

func TestSecretEnv(t *testing.T) {
	secret := v1.LocalObjectReference{Name: "s"}
	for name, c := range map[string]struct {
		container v1.Container
		want      bool
	}{
		"none":              {v1.Container{Env: []v1.EnvVar{{Name: "A", Value: "1"}}}, false},
		"a key":             {v1.Container{Env: []v1.EnvVar{{Name: "A"}, {Name: "B", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: secret, Optional: ptr.To(true)}}}}}, true},
		"all keys":          {v1.Container{EnvFrom: []v1.EnvFromSource{{}, {SecretRef: &v1.SecretEnvSource{LocalObjectReference: secret}}}}, true},
		"a file":            {v1.Container{Env: []v1.EnvVar{{Name: "A", ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{}}}}}, true},
		"a ConfigMap":       {v1.Container{Env: []v1.EnvVar{{Name: "A", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{}}}}}, false},
		"all of ConfigMaps": {v1.Container{EnvFrom: []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{}}}}, false},
		"a field":           {v1.Container{Env: []v1.EnvVar{{Name: "A", ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{}}}}}, false},
	} {
		if got := SecretEnv(&c.container); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestEnvOfServices: variables of services can be referred to, and give way to all others.
func TestEnvOfServices(t *testing.T) {
	in := Inputs{Pod: &v1.Pod{}, Services: []string{"WEB_SERVICE_HOST=10.96.0.5", "WEB_PORT=tcp://10.96.0.5:80", "WEB_SERVICE_PORT=80"}}
	in.Objects.ConfigMaps = map[string]*v1.ConfigMap{"c": {Data: map[string]string{"WEB_PORT": "8080"}}}
	got, err := in.Env(&v1.Container{
		EnvFrom: []v1.EnvFromSource{{ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "c"}}}},
		Env:     []v1.EnvVar{{Name: "URL", Value: "http://$(WEB_SERVICE_HOST):$(WEB_PORT)"}, {Name: "WEB_SERVICE_PORT", Value: "own"}},
	})
	want := []string{"WEB_SERVICE_HOST=10.96.0.5", "WEB_PORT=8080", "WEB_SERVICE_PORT=own", "URL=http://10.96.0.5:8080"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}
