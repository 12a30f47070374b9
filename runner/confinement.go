package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/spec"
)

// seccompProfile reads the profile of this machine that the container names: <root>/seccomp/<localhostProfile>.
func (w *worker) seccompProfile(c *v1.Container) (*specs.LinuxSeccomp, error) {
	p := spec.SeccompProfile(w.rec.Pod, c)
	if p == nil || p.Type != v1.SeccompProfileTypeLocalhost {
		return nil, nil
	}
	path := filepath.Join(w.runner.config.Root, "seccomp", *p.LocalhostProfile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the seccomp profile: %w", err)
	}
	out := &specs.LinuxSeccomp{}
	if err := json.Unmarshal(data, out); err != nil || out.DefaultAction == "" {
		return nil, errors.Join(fmt.Errorf("%s is not a seccomp profile in the form of the OCI runtime spec", path), err)
	}
	return out, nil
}

// defaultAppArmor is the name of the profile that RuntimeDefault loads.
const defaultAppArmor = "solopod-default"

// appArmorProfile is the name of the profile that the container wants; it is loaded. As the kubelet, a container is not
// started without a profile that it names.
func (w *worker) appArmorProfile(c *v1.Container) (string, error) {
	p := spec.AppArmorProfile(w.rec.Pod, c)
	if p == nil || p.Type == v1.AppArmorProfileTypeUnconfined {
		return "", nil
	}
	loaded, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return "", fmt.Errorf("cannot enforce AppArmor: this machine does not use it (%w)", err)
	}
	if p.Type == v1.AppArmorProfileTypeRuntimeDefault {
		if err := apparmor.LoadDefaultProfile(defaultAppArmor); err != nil {
			return "", fmt.Errorf("cannot load the default AppArmor profile; is apparmor_parser installed? %w", err)
		}
		return defaultAppArmor, nil
	}
	if !strings.Contains("\n"+string(loaded), "\n"+*p.LocalhostProfile+" (") {
		return "", fmt.Errorf("the AppArmor profile %q is not loaded; load it with apparmor_parser", *p.LocalhostProfile)
	}
	return *p.LocalhostProfile, nil
}
