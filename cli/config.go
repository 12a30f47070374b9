package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/trusted"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/manifests/validate/network"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/image/choice"
	imagepolicy "github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/image/pull"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/services/settings"
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
	// Images that nobody uses go where ImageGCHighThresholdPercent of their disk is used, until ImageGCLowThresholdPercent is; 100 turns
	// that off. They must have come ImageMinimumGCAge ago; one that was not used for ImageMaximumGCAge goes anyway, unless that is 0.
	ImageGCHighThresholdPercent int             `json:"imageGCHighThresholdPercent"`
	ImageGCLowThresholdPercent  int             `json:"imageGCLowThresholdPercent"`
	ImageMinimumGCAge           metav1.Duration `json:"imageMinimumGCAge,omitzero"`
	ImageMaximumGCAge           metav1.Duration `json:"imageMaximumGCAge,omitzero"`
	// PinnedImages are never removed by that.
	PinnedImages []string `json:"pinnedImages,omitempty"`
	// RollbackAfter is how long a new version of a pod, StatefulSet or DaemonSet may take to become ready before the last one that was
	// comes back, and that Deployments do so after their progressDeadlineSeconds; 0 turns it off. An annotation says otherwise for one.
	RollbackAfter metav1.Duration `json:"rollbackAfter,omitzero"`
	// ImagePullOffline is ran, present or refuse: whose images are used when imagePullPolicy is Always and the registry does not answer.
	ImagePullOffline string `json:"imagePullOffline,omitempty"`
	// RegistryConfigDir holds a directory for each registry, with a hosts.toml of containerd's form; empty means none.
	RegistryConfigDir string `json:"registryConfigDir"`
	// ImageCredentialProviderConfig is the file of a CredentialProviderConfig, whose programs lie in ImageCredentialProviderBinDir; empty
	// means none.
	ImageCredentialProviderConfig string `json:"imageCredentialProviderConfig,omitempty"`
	ImageCredentialProviderBinDir string `json:"imageCredentialProviderBinDir,omitempty"`
	// SerializeImagePulls has one image pulled after the other, else MaxParallelImagePulls at once.
	SerializeImagePulls   bool `json:"serializeImagePulls,omitempty"`
	MaxParallelImagePulls int  `json:"maxParallelImagePulls,omitempty"`
	// UnknownFields is strict or warn.
	UnknownFields string `json:"unknownFields,omitempty"`
	// ClusterKinds is warn or refuse: what becomes of objects that only a cluster serves.
	ClusterKinds string `json:"clusterKinds,omitempty"`
	// ManifestKeyFile holds the public keys of those who may sign manifests; empty means that manifests need no signature.
	// ManifestVersions is optional or required: whether a signed file may have no version.
	ManifestKeyFile  string `json:"manifestKeyFile,omitempty"`
	ManifestVersions string `json:"manifestVersions,omitempty"`
	// BundleKeyFile holds the public keys of those who may sign bundles; without one none is applied.
	BundleKeyFile string `json:"bundleKeyFile,omitempty"`
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
	// EvictionHard and EvictionSoft are what must be left of the machine before pods are evicted, by signals as memory.available: quantities
	// or parts, like 100Mi or 10%. Soft ones must be crossed for EvictionSoftGracePeriod. EvictionMinimumReclaim is had beyond them then.
	// EvictionHard replaces the defaults as a whole.
	EvictionHard            map[string]string `json:"evictionHard,omitempty"`
	EvictionSoft            map[string]string `json:"evictionSoft,omitempty"`
	EvictionSoftGracePeriod map[string]string `json:"evictionSoftGracePeriod,omitempty"`
	EvictionMinimumReclaim  map[string]string `json:"evictionMinimumReclaim,omitempty"`
	// EvictionMaxPodGracePeriod bounds, in seconds, what pods get to end in where a soft threshold is crossed; 0 bounds nothing.
	EvictionMaxPodGracePeriod int32 `json:"evictionMaxPodGracePeriod,omitempty"`
	// EvictionPressureTransitionPeriod is for how long nothing must be short for a condition of the node to end, and for evicted pods to
	// begin anew.
	EvictionPressureTransitionPeriod metav1.Duration `json:"evictionPressureTransitionPeriod,omitzero"`
	// SystemReserved and KubeReserved are quantities by resource (cpu, memory, ephemeral-storage, pid) that pods do not get, for the system and
	// for Solopod. EnforceNodeAllocatable is pods, to have the kernel bound all pods together, or none.
	SystemReserved         map[string]string `json:"systemReserved,omitempty"`
	KubeReserved           map[string]string `json:"kubeReserved,omitempty"`
	EnforceNodeAllocatable []string          `json:"enforceNodeAllocatable"`
	// Admission is warn or refuse: what becomes of pods whose requests do not fit beside those of others.
	Admission string `json:"admission,omitempty"`
	// MemoryQoS: with cgroup v2 requests of memory are kept for who has them, and containers are slowed down before their limit, when
	// they use MemoryThrottlingFactor of what is between.
	MemoryQoS              bool    `json:"memoryQoS,omitempty"`
	MemoryThrottlingFactor float64 `json:"memoryThrottlingFactor,omitempty"`
	// CDISpecDirs hold the descriptions of CDI devices; none means /etc/cdi and /var/run/cdi.
	CDISpecDirs []string `json:"cdiSpecDirs,omitempty"`
	// ClusterDomain ends the full names of Services, and of pods that have a subdomain.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// ServiceCIDR has the addresses of Services: a subnet, or one of each family with a comma between them; empty means a free one.
	// ServiceNodePortRange are the ports of the machine that they get.
	ServiceCIDR          string `json:"serviceCIDR,omitempty"`
	ServiceNodePortRange string `json:"serviceNodePortRange,omitempty"`
	// ClusterDNS are servers of names that pods get instead of Solopod's own, which does not run then. StubDomains are servers of zones of
	// others, by zone.
	ClusterDNS  []string            `json:"clusterDNS,omitempty"`
	StubDomains map[string][]string `json:"stubDomains,omitempty"`
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
	node = strings.ToLower(node) // as the kubelet has it
	return config{
		Manifests: "/etc/solopod/manifests", Images: "/var/lib/solopod/images", Root: "/var/lib/solopod",
		State: "/run/solopod", LogDir: "/var/log", Containerd: embeddedContainerd, Runtime: "runc",
		Socket: "/run/solopod/solopod.sock", Listen: "127.0.0.1:10255", PlainPort: plainMetrics, CNIConfDir: "/etc/cni/net.d",
		NodeName: node, ResolvConf: resolver.DefaultPath, LogLevel: "info",
		ContainerLogMaxSize: "10Mi", ContainerLogMaxFiles: 5, UnknownFields: "strict", ClusterKinds: "warn", ManifestVersions: "optional", MaxParallelStarts: 4,
		ImagePullOffline: imagepolicy.Ran, RegistryConfigDir: remote.DefaultDir, MaxParallelImagePulls: pull.AtOnce,
		PodPidsLimit: -1, ClusterDomain: settings.DefaultDomain, ServiceNodePortRange: settings.DefaultNodePorts, AuditLogMaxSize: "10Mi", AuditLogMaxBackups: 5,
		ImageGCHighThresholdPercent: choice.Default.High, ImageGCLowThresholdPercent: choice.Default.Low, ImageMinimumGCAge: metav1.Duration{Duration: choice.Default.MinAge},
		EvictionHard: threshold.Defaults(), EvictionPressureTransitionPeriod: metav1.Duration{Duration: 5 * time.Minute},
		EnforceNodeAllocatable: []string{reservePods}, Admission: admissionWarn, MemoryThrottlingFactor: 0.9,
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

// loadConfig reads the file, if there is one, and lets the flags that were given override it. What is wrong in the file is told with its
// place there, all of it.
func loadConfig(path string, read func(path string) ([]byte, error), flags *pflag.FlagSet) (config, error) {
	c, places, wrong := defaults(), given(nil), settingErrors(nil)
	if path != "" {
		data, err := read(path)
		if err != nil {
			return c, fmt.Errorf("cannot read the configuration: %w", err)
		}
		places, wrong = c.readText(data)
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
	if !flags.Changed("socket") && filepath.IsAbs(c.State) && (flags.Changed("state") || c.State != defaults().State) && c.Socket == defaults().Socket {
		c.Socket = c.State + "/solopod.sock"
	}
	return c, c.judge(path, places, wrong, flags)
}

// judge is what is wrong with the settings, if anything is. wrong is so with the file; what a flag sets has no place in it.
func (c *config) judge(path string, places given, wrong settingErrors, flags *pflag.FlagSet) error {
	var ofFlags settingErrors
	for _, e := range c.validate() {
		if slices.ContainsFunc(wrong, func(w settingError) bool { return w.key == e.key }) { // its value was not taken over
			continue
		}
		flag := flagOf(e.key)
		if at := places[e.key]; at != nil && !flags.Changed(flag) {
			e.at = at
			wrong = append(wrong, e)
			continue
		}
		if flags.Changed(flag) {
			e = settingError{err: fmt.Errorf("--%s: %w", flag, e.err)}
		}
		ofFlags = append(ofFlags, e)
	}
	return errors.Join(wrong.in(path), ofFlags.in(""))
}

// flagOf is the flag of a setting, where it has one: tls-listen of tlsListen.
func flagOf(key string) string {
	switch key {
	case "cniBinDir":
		return "cni-bin-dir"
	case "cniConfDir":
		return "cni-conf-dir"
	case "nodeIP":
		return "node-ip"
	}
	var b strings.Builder
	for _, r := range key {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// maxImageSize is in bytes; zero for none. It was validated.
func (c *config) maxImageSize() int64 {
	q, err := resource.ParseQuantity(c.ImageMaxSize)
	if err != nil {
		return 0
	}
	return amount.Whole(q)
}

// services are the settings of Services and names.
func (c *config) services() (settings.Settings, error) {
	return settings.Parse(settings.Text{
		ServiceCIDR: c.ServiceCIDR, ServiceNodePortRange: c.ServiceNodePortRange, ClusterDNS: c.ClusterDNS, StubDomains: c.StubDomains,
		ClusterDomain: c.ClusterDomain,
	})
}

func (c *config) logLimits() (logfile.Limits, error) {
	q, err := resource.ParseQuantity(c.ContainerLogMaxSize)
	if err != nil || q.Sign() <= 0 {
		return logfile.Limits{}, fmt.Errorf("containerLogMaxSize %q is not a size like 10Mi", c.ContainerLogMaxSize)
	}
	if c.ContainerLogMaxFiles < 2 {
		return logfile.Limits{}, fmt.Errorf("containerLogMaxFiles must be at least 2, not %d", c.ContainerLogMaxFiles)
	}
	return logfile.Limits{MaxSize: amount.Whole(q), MaxFiles: c.ContainerLogMaxFiles}, nil
}

// cniBinDirs are the directories of CNI plugins.
func (c *config) cniBinDirs() []string {
	if c.CNIBinDir != "" {
		return []string{c.CNIBinDir}
	}
	return []string{"/opt/cni/bin", "/usr/lib/cni"}
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
		return l, fmt.Errorf("%q is not %s", c.LogLevel, settingForms["logLevel"])
	}
	return l, nil
}

// manifestOptions are how strict manifests are read, and which pods are taken.
func (c *config) manifestOptions(taken *policy.Policy) decode.Options {
	o := decode.Options{
		WarnUnknownFields: c.UnknownFields == "warn", RefuseClusterKinds: c.ClusterKinds == "refuse", AllowedUnsafeSysctls: c.AllowedUnsafeSysctls, ClusterDomain: c.ClusterDomain,
		Judge: taken.Judge, JudgeService: taken.JudgeService,
	}
	if s, err := c.services(); err == nil { // it was validated
		o.NodePorts = network.PortRange{Min: int32(s.NodePorts.First), Max: int32(s.NodePorts.Last)}
	}
	return o
}
