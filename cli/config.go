package cli

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/hosts"
	"github.com/solopod/solopod/api/trusted"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/network/bridge"
	"github.com/solopod/solopod/runner/resolver"
)

// config is the daemon's configuration: the file's fields, each also a flag where it says so. Names are the kubelet's
// where it has the same setting.
type config struct {
	Manifests  string `json:"manifests,omitempty"`
	Images     string `json:"images,omitempty"`
	Root       string `json:"root,omitempty"`
	State      string `json:"state,omitempty"`
	LogDir     string `json:"logDir,omitempty"`
	Containerd string `json:"containerd,omitempty"` // "embedded" or a socket
	Runtime    string `json:"runtime,omitempty"`
	Socket     string `json:"socket,omitempty"`
	// SocketGroup is the group whose members may use the socket, by name or number; empty means root's.
	SocketGroup string `json:"socketGroup,omitempty"`
	Listen      string `json:"listen,omitempty"`
	// PlainPort is what anybody may see at Listen: metrics, with health, or read, which is all that can be read.
	PlainPort string `json:"plainPort,omitempty"`
	// AllowedHosts are names and addresses, beside the machine's own, that clients may call it by (the Host header); *.example.com are all
	// that end so.
	AllowedHosts []string `json:"allowedHosts,omitempty"`
	// TLSListen is an address for HTTPS with authentication; empty means none. The certificate is TLSCertFile with
	// TLSPrivateKeyFile, or one that Solopod makes and keeps in <root>/tls. ClientCAFile and AuthTokenFile say who is known.
	TLSListen         string `json:"tlsListen,omitempty"`
	TLSCertFile       string `json:"tlsCertFile,omitempty"`
	TLSPrivateKeyFile string `json:"tlsPrivateKeyFile,omitempty"`
	ClientCAFile      string `json:"clientCAFile,omitempty"`
	AuthTokenFile     string `json:"authTokenFile,omitempty"`
	CNIBinDir         string `json:"cniBinDir,omitempty"`
	CNIConfDir        string `json:"cniConfDir,omitempty"`
	NodeName          string `json:"nodeName,omitempty"`
	// NodeIP is an address of the machine, or one of each family with a comma between them; empty means that of the default route.
	NodeIP string `json:"nodeIP,omitempty"`
	// ResolvConf is the resolver configuration that pods' are made of; empty means none.
	ResolvConf string `json:"resolvConf"`
	CgroupRoot string `json:"cgroupRoot,omitempty"`
	// CgroupDriver is cgroupfs or systemd; empty means systemd where it is the init and cgroups are v2.
	CgroupDriver string `json:"cgroupDriver,omitempty"`
	LogLevel     string `json:"logLevel,omitempty"`
	// AuditLog is a file for audit lines, beside the daemon's log; empty means none. It is rotated at AuditLogMaxSize, a quantity like
	// 10Mi, and AuditLogMaxBackups older ones are kept.
	AuditLog           string `json:"auditLog,omitempty"`
	AuditLogMaxSize    string `json:"auditLogMaxSize,omitempty"`
	AuditLogMaxBackups int    `json:"auditLogMaxBackups"`

	// ContainerLogMaxSize is a quantity like 10Mi; ContainerLogMaxFiles counts the current file as well.
	ContainerLogMaxSize  string `json:"containerLogMaxSize,omitempty"`
	ContainerLogMaxFiles int    `json:"containerLogMaxFiles,omitempty"`
	// ImageMaxSize is what the layers of an image may unpack to, a quantity like 20Gi; empty leaves it to the room on the disk.
	ImageMaxSize string `json:"imageMaxSize,omitempty"`
	// UnknownFields is strict or warn.
	UnknownFields string `json:"unknownFields,omitempty"`
	// ManifestKeyFile holds the public keys of those who may sign manifests; empty means that manifests need no signature.
	// ManifestVersions is optional or required: whether a signed file may have no version.
	ManifestKeyFile  string `json:"manifestKeyFile,omitempty"`
	ManifestVersions string `json:"manifestVersions,omitempty"`
	// PodCIDR is the subnet of Solopod's own bridge; empty means a free one, "none" no addresses of IPv4. PodCIDR6 is that of IPv6; empty
	// means a private one, where the machine speaks IPv6.
	PodCIDR  string `json:"podCIDR,omitempty"`
	PodCIDR6 string `json:"podCIDR6,omitempty"`
	// ShutdownGracePeriod is what pods get when the machine goes down, ShutdownGracePeriodCriticalPods the part of it for
	// critical pods, which are stopped last. Durations like 30s.
	ShutdownGracePeriod             metav1.Duration `json:"shutdownGracePeriod,omitzero"`
	ShutdownGracePeriodCriticalPods metav1.Duration `json:"shutdownGracePeriodCriticalPods,omitzero"`
	// PodPidsLimit bounds the number of processes of a pod; -1 means no bound.
	PodPidsLimit int64 `json:"podPidsLimit,omitempty"`
	// SingleProcessOOMKill: with cgroup v2 too the kernel kills one process for memory, not its whole container.
	SingleProcessOOMKill bool `json:"singleProcessOOMKill,omitempty"`
	// CDISpecDirs hold the descriptions of CDI devices; none means /etc/cdi and /var/run/cdi.
	CDISpecDirs []string `json:"cdiSpecDirs,omitempty"`
	// ClusterDomain ends the full names of pods that have a subdomain.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// RuntimeClasses: runtimeClassName -> OCI runtime, a name or a path.
	RuntimeClasses map[string]string `json:"runtimeClasses,omitempty"`
	// AllowedUnsafeSysctls are sysctls beside the safe set that pods may set; a name may end with *.
	AllowedUnsafeSysctls []string `json:"allowedUnsafeSysctls,omitempty"`
	// MaxParallelStarts is how many pods are brought up at the same time.
	MaxParallelStarts int `json:"maxParallelStarts,omitempty"`

	// PodSecurity and Policy say which pods the machine takes; without them it takes all. SeccompDefault: containers that name no seccomp profile
	// get RuntimeDefault.
	PodSecurity    policy.PodSecurity `json:"podSecurity,omitzero"`
	Policy         policy.Rules       `json:"policy,omitzero"`
	SeccompDefault bool               `json:"seccompDefault,omitempty"`
}

func defaults() config {
	node, err := os.Hostname()
	if err != nil {
		node = "localhost"
	}
	return config{
		Manifests: "/etc/solopod/manifests", Images: "/var/lib/solopod/images", Root: "/var/lib/solopod",
		State: "/run/solopod", LogDir: "/var/log", Containerd: embeddedContainerd, Runtime: "runc",
		Socket: "/run/solopod/solopod.sock", Listen: "127.0.0.1:10255", PlainPort: plainMetrics, CNIConfDir: "/etc/cni/net.d",
		NodeName: node, ResolvConf: resolver.DefaultPath, LogLevel: "info",
		ContainerLogMaxSize: "10Mi", ContainerLogMaxFiles: 5, UnknownFields: "strict", ManifestVersions: "optional", MaxParallelStarts: 4,
		PodPidsLimit: -1, ClusterDomain: "cluster.local", AuditLogMaxSize: "10Mi", AuditLogMaxBackups: 5,
		ShutdownGracePeriod: metav1.Duration{Duration: 30 * time.Second}, ShutdownGracePeriodCriticalPods: metav1.Duration{Duration: 10 * time.Second},
	}
}

const embeddedContainerd = "embedded"

// What the plain port shows.
const (
	plainMetrics = "metrics"
	plainRead    = "read"
)

// register makes the flags; their defaults are c's values.
func (c *config) register(f *pflag.FlagSet) {
	f.StringVar(&c.Manifests, "manifests", c.Manifests, "directory of pod manifests")
	f.StringVar(&c.Images, "images", c.Images, "directory of image archives, imported when they appear")
	f.StringVar(&c.Root, "root", c.Root, "directory for what must survive a reboot")
	f.StringVar(&c.State, "state", c.State, "directory for what ends with a reboot (on a tmpfs)")
	f.StringVar(&c.LogDir, "log-dir", c.LogDir, "containers' logs go to pods/ and containers/ below it")
	f.StringVar(&c.Containerd, "containerd", c.Containerd, `"embedded", or the socket of a containerd that runs already`)
	f.StringVar(&c.Runtime, "runtime", c.Runtime, "OCI runtime: runc, crun or a path")
	f.StringVar(&c.Listen, "listen", c.Listen, `address for HTTP that shows health and metrics, or more (plainPort in the configuration); "" for none`)
	f.StringVar(&c.TLSListen, "tls-listen", c.TLSListen, "address for HTTPS, for clients with a certificate or a token (clientCAFile, authTokenFile in the configuration)")
	f.StringVar(&c.CNIBinDir, "cni-bin-dir", c.CNIBinDir, "directory of CNI plugins (default /opt/cni/bin, then /usr/lib/cni)")
	f.StringVar(&c.CNIConfDir, "cni-conf-dir", c.CNIConfDir, "directory of CNI configurations; without one pods get a bridge of Solopod's")
	f.StringVar(&c.NodeName, "node-name", c.NodeName, "name of this machine in status and events")
	f.StringVar(&c.NodeIP, "node-ip", c.NodeIP, "address of this machine in status and environments, or one of each family with a comma (default that of the default route)")
	f.StringVar(&c.ResolvConf, "resolv-conf", c.ResolvConf, `resolver configuration of which pods' are made; "" for none`)
	f.StringVar(&c.CgroupRoot, "cgroup-root", c.CgroupRoot, "cgroup below which pods live (default /solopod, with another state directory /solopod-<hash>)")
	f.StringVar(&c.CgroupDriver, "cgroup-driver", c.CgroupDriver, "cgroupfs or systemd (default systemd where it is the init, with cgroup v2)")
	f.BoolVar(&c.SeccompDefault, "seccomp-default", c.SeccompDefault, "containers that name no seccomp profile get RuntimeDefault")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
}

// maxConfig bounds the configuration, in bytes.
const maxConfig = 1 << 20

// ofDaemon reads the configuration that the daemon runs with: whoever can change it is root.
func ofDaemon(path string) ([]byte, error) { return trusted.Read(path, trusted.Public, maxConfig) }

// ofAnybody reads a configuration that is only looked at, as one in a checkout.
func ofAnybody(path string) ([]byte, error) { return foreign.ReadFollowing(path, maxConfig) }

// loadConfig reads the file, if there is one, and lets the flags that were given override it. socket is the global flag.
func loadConfig(path string, read func(path string) ([]byte, error), flags *pflag.FlagSet) (config, error) {
	c := defaults()
	if path != "" {
		data, err := read(path)
		if err != nil {
			return c, fmt.Errorf("cannot read the configuration: %w", err)
		}
		if err := c.readText(data); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	// Every flag writes into a config of its own; only those that were set are taken over.
	merged := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.register(merged)
	merged.StringVar(&c.Socket, "socket", c.Socket, "")
	var err error
	flags.Visit(func(f *pflag.Flag) {
		if merged.Lookup(f.Name) != nil && err == nil {
			err = merged.Set(f.Name, f.Value.String())
		}
	})
	if err != nil {
		return c, err
	}
	if !flags.Changed("socket") && (flags.Changed("state") || c.State != defaults().State) && c.Socket == defaults().Socket {
		c.Socket = c.State + "/solopod.sock"
	}
	return c, c.validate()
}

func (c *config) validate() error {
	for name, value := range map[string]string{"manifests": c.Manifests, "root": c.Root, "state": c.State, "logDir": c.LogDir} {
		if value == "" || value[0] != '/' {
			return fmt.Errorf("%s must be an absolute path, not %q", name, value)
		}
	}
	if c.ResolvConf != "" && c.ResolvConf[0] != '/' {
		return fmt.Errorf("resolvConf must be an absolute path, or empty for none, not %q", c.ResolvConf)
	}
	if _, err := host.ParseNodeIP(c.NodeIP); err != nil {
		return err
	}
	switch cgroup.Driver(c.CgroupDriver) {
	case "", cgroup.Cgroupfs:
	case cgroup.Systemd:
		if !cgroup.Unified() {
			return fmt.Errorf("cgroupDriver systemd needs cgroup v2, and this machine has v1; use cgroupfs")
		}
	default:
		return fmt.Errorf("cgroupDriver is cgroupfs or systemd, not %q", c.CgroupDriver)
	}
	if total, last := c.ShutdownGracePeriod.Duration, c.ShutdownGracePeriodCriticalPods.Duration; last < 0 || total < last {
		return fmt.Errorf("shutdownGracePeriod (%s) contains shutdownGracePeriodCriticalPods (%s), so it cannot be shorter", total, last)
	}
	if c.PodPidsLimit < -1 || c.PodPidsLimit == 0 {
		return fmt.Errorf("podPidsLimit is a number above 0, or -1 for no bound, not %d", c.PodPidsLimit)
	}
	if c.PlainPort != plainMetrics && c.PlainPort != plainRead {
		return fmt.Errorf("plainPort is metrics or read, not %q", c.PlainPort)
	}
	if err := hosts.Check(c.AllowedHosts); err != nil {
		return err
	}
	if c.UnknownFields != "strict" && c.UnknownFields != "warn" {
		return fmt.Errorf("unknownFields is strict or warn, not %q", c.UnknownFields)
	}
	if err := c.checkSigning(); err != nil {
		return err
	}
	if err := bridge.CheckSubnets(c.PodCIDR, c.PodCIDR6); err != nil {
		return err
	}
	if _, err := c.logLimits(); err != nil {
		return err
	}
	if _, err := policy.New(c.PodSecurity, c.Policy); err != nil {
		return err
	}
	if q, err := resource.ParseQuantity(c.ImageMaxSize); c.ImageMaxSize != "" && (err != nil || q.Sign() <= 0) {
		return fmt.Errorf("imageMaxSize %q is not a size like 20Gi; leave it out to be bounded by the disk alone", c.ImageMaxSize)
	}
	if _, err := c.auditFile(); err != nil {
		return err
	}
	_, err := c.level()
	return err
}

// maxImageSize is in bytes; zero for none. It was validated.
func (c *config) maxImageSize() int64 {
	q, err := resource.ParseQuantity(c.ImageMaxSize)
	if err != nil {
		return 0
	}
	return q.Value()
}

func (c *config) logLimits() (logfile.Limits, error) {
	q, err := resource.ParseQuantity(c.ContainerLogMaxSize)
	if err != nil || q.Sign() <= 0 {
		return logfile.Limits{}, fmt.Errorf("containerLogMaxSize %q is not a size like 10Mi", c.ContainerLogMaxSize)
	}
	if c.ContainerLogMaxFiles < 2 {
		return logfile.Limits{}, fmt.Errorf("containerLogMaxFiles must be at least 2, not %d", c.ContainerLogMaxFiles)
	}
	return logfile.Limits{MaxSize: q.Value(), MaxFiles: c.ContainerLogMaxFiles}, nil
}

// cgroupDriver is the configured one, or the one that suits the machine.
func (c *config) cgroupDriver() cgroup.Driver {
	if c.CgroupDriver != "" {
		return cgroup.Driver(c.CgroupDriver)
	}
	if underSystemd() && cgroup.Unified() {
		return cgroup.Systemd
	}
	return cgroup.Cgroupfs
}

func (c *config) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return l, fmt.Errorf("log-level is debug, info, warn or error, not %q", c.LogLevel)
	}
	return l, nil
}

// manifestOptions are how strict manifests are read, and which pods are taken.
func (c *config) manifestOptions(taken *policy.Policy) decode.Options {
	return decode.Options{
		WarnUnknownFields: c.UnknownFields == "warn", AllowedUnsafeSysctls: c.AllowedUnsafeSysctls, ClusterDomain: c.ClusterDomain,
		Judge: taken.Judge,
	}
}
