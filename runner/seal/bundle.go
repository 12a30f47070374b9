package seal

import (
	"encoding/json"
	"fmt"
)

// spec is a runtime spec of which only the process is known; the rest stays as it is.
type spec map[string]json.RawMessage

// Unsealed opens the process of a runtime spec, and returns the spec as it is meant. One in which nothing is sealed is nil.
func Unsealed(config []byte, key func() (*Key, error)) ([]byte, error) {
	var s spec
	if err := json.Unmarshal(config, &s); err != nil {
		return nil, fmt.Errorf("cannot read the runtime spec: %w", err)
	}
	process, err := opened(s["process"], key, true)
	if err != nil || process == nil {
		return nil, err
	}
	s["process"] = process
	return json.Marshal(s)
}

// UnsealedProcess does so for a further process of a container: it has arguments of its own.
func UnsealedProcess(process []byte, key func() (*Key, error)) ([]byte, error) {
	return opened(process, key, false)
}

func opened(process json.RawMessage, key func() (*Key, error), withArgs bool) (json.RawMessage, error) {
	if len(process) == 0 {
		return nil, nil
	}
	var all map[string]json.RawMessage
	var shown struct {
		Env []string `json:"env"`
	}
	if err := json.Unmarshal(process, &all); err != nil {
		return nil, fmt.Errorf("cannot read the process of the runtime spec: %w", err)
	}
	if err := json.Unmarshal(process, &shown); err != nil {
		return nil, fmt.Errorf("cannot read the environment of the runtime spec: %w", err)
	}
	if !Is(shown.Env) {
		return nil, nil
	}
	k, err := key()
	if err != nil {
		return nil, err
	}
	p, err := k.Open(shown.Env)
	if err != nil {
		return nil, err
	}
	if all["env"], err = json.Marshal(append(p.Env, Added(shown.Env)...)); err != nil {
		return nil, err
	}
	if withArgs {
		if all["args"], err = json.Marshal(p.Args); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// Stripped is a runtime spec without what is sealed in it: what of it may be seen by all.
func Stripped(config []byte) ([]byte, error) {
	var s spec
	var p struct{ Process map[string]json.RawMessage }
	var shown struct{ Process struct{ Env []string } }
	if err := json.Unmarshal(config, &shown); err != nil {
		return nil, fmt.Errorf("cannot read the runtime spec: %w", err)
	}
	if !Is(shown.Process.Env) {
		return config, nil
	}
	err := json.Unmarshal(config, &s)
	if err == nil {
		err = json.Unmarshal(config, &p)
	}
	if err == nil {
		p.Process["env"], err = json.Marshal(Shown(shown.Process.Env))
	}
	if err == nil {
		s["process"], err = json.Marshal(p.Process)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}
