package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/api/hosts"
	"github.com/solopod/solopod/manifests/policy"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/host"
	"github.com/solopod/solopod/runner/image/choice"
	"github.com/solopod/solopod/runner/network/bridge"
)

const (
	aDirectory = "the absolute path of a directory, like /srv/solopod"
	aFile      = "the absolute path of a file"
	anAddress  = `an address with a port, like 127.0.0.1:10255 or :10255, or "" for none`
	aDuration  = "a duration like 30s or 1m30s"
	aSize      = "a size like 10Mi"
	thresholds = "an object of quantities or parts by signal, like {memory.available: 100Mi, nodefs.available: 10%}"
)

// settingForms say what the value of each setting is.
var settingForms = map[string]string{
	"manifests": aDirectory, "images": aDirectory, "root": aDirectory, "state": aDirectory, "logDir": aDirectory,
	"containerd": "embedded, or the absolute path of the socket of a containerd that runs already",
	"runtime":    "runc, crun, or the absolute path of an OCI runtime",
	"socket":     "the absolute path of a socket, like /run/solopod/solopod.sock", "socketGroup": "the name or the number of a group",
	"listen": anAddress, "tlsListen": anAddress,
	"plainPort":    "metrics or read",
	"allowedHosts": "a list of names and addresses without ports, like [box.example.com, '*.lan.example']",
	"tlsCertFile":  aFile, "tlsPrivateKeyFile": aFile, "clientCAFile": aFile, "authTokenFile": aFile,
	"cniBinDir": aDirectory, "cniConfDir": aDirectory,
	"nodeName":     "a name in lower case, like box-7 or box-7.example.com",
	"nodeIP":       "an address of the machine, like 192.0.2.1, or one of each family with a comma between them",
	"resolvConf":   aFile + `, or "" for none`,
	"cgroupRoot":   "the path of a cgroup below the hierarchies' roots, like /solopod",
	"cgroupDriver": "cgroupfs or systemd",
	"logLevel":     "debug, info, warn or error",
	"auditLog":     aFile, "auditLogMaxSize": aSize + ", of at least 64Ki", "auditLogMaxBackups": "a number of files from 0 on",
	"containerLogMaxSize": aSize, "containerLogMaxFiles": "a number of files from 2 on", "imageMaxSize": "a size like 20Gi",
	choice.HighSetting: "a number from 0 to 100, in percent of the disk; 100 for none", choice.LowSetting: "a number from 0 to 100, in percent of the disk",
	choice.MinAgeSetting: "a duration like 2m", choice.MaxAgeSetting: "a duration like 720h, or 0s for none",
	"imagePullOffline": "ran, present or refuse", "registryConfigDir": "an absolute path of a directory",
	"imageCredentialProviderConfig": aFile, "imageCredentialProviderBinDir": "an absolute path of a directory",
	"serializeImagePulls": "true or false", "maxParallelImagePulls": "a number from 1 on",
	"pinnedImages":  "a list of images like [registry.example.com/app:1]",
	"unknownFields": "strict or warn", "clusterKinds": "warn or refuse",
	"manifestKeyFile": aFile, "manifestVersions": "optional or required", "bundleKeyFile": aFile,
	"podCIDR": "an IPv4 subnet like 10.166.0.0/24, or none", "podCIDR6": "an IPv6 subnet like fd00:10:166::/64, or none",
	"shutdownGracePeriod": aDuration, "shutdownGracePeriodCriticalPods": aDuration,
	"podPidsLimit": "a number above 0, or -1 for no bound", "singleProcessOOMKill": "true or false",
	"evictionHard": thresholds, "evictionSoft": thresholds, "evictionMinimumReclaim": thresholds,
	"evictionSoftGracePeriod":   "an object of durations by signal, like {memory.available: 1m30s}",
	"evictionMaxPodGracePeriod": "a number of seconds, or 0 for no bound", "evictionPressureTransitionPeriod": aDuration, "rollbackAfter": aDuration,
	"systemReserved": aReserve, "kubeReserved": aReserve,
	"enforceNodeAllocatable": "a list: [pods], or [none]", "admission": "warn or refuse",
	"memoryQoS": "true or false", "memoryThrottlingFactor": "a number above 0 and up to 1, like 0.9",
	"cdiSpecDirs":   "a list of absolute paths of directories",
	"clusterDomain": "a domain like cluster.local",
	"serviceCIDR":   "a subnet like 10.96.0.0/16, or one of each family with a comma between them", "serviceNodePortRange": "a range of ports like 30000-32767",
	"clusterDNS": "a list of addresses like [192.0.2.53]", "stubDomains": "an object of lists of servers by zone, like {corp.example: [192.0.2.53]}",
	"runtimeClasses":       "an object of OCI runtimes by runtimeClassName, like {gvisor: /usr/bin/runsc}",
	"allowedUnsafeSysctls": "a list of names like [net.core.somaxconn, kernel.msg*]",
	"maxParallelStarts":    "a number from 1 on",
	"podSecurity":          "privileged, baseline or restricted, or an object like {enforce: baseline, warn: restricted}",
	"policy":               "an object like {privileged: false, hostPaths: []}",
	"seccompDefault":       "true or false",
}

// validate says what is wrong with the settings, all of it.
func (c *config) validate() settingErrors {
	var wrong settingErrors
	add := func(key string, err error) {
		if err != nil {
			wrong = append(wrong, settingError{key: key, err: err})
		}
	}
	form := func(key, value string, ok bool) {
		if !ok {
			add(key, fmt.Errorf("%q is not %s", value, settingForms[key]))
		}
	}
	for key, path := range map[string]string{"manifests": c.Manifests, "images": c.Images, "root": c.Root, "state": c.State, "logDir": c.LogDir, "socket": c.Socket} {
		form(key, path, absolute(path))
	}
	for key, path := range map[string]string{
		"tlsCertFile": c.TLSCertFile, "tlsPrivateKeyFile": c.TLSPrivateKeyFile, "clientCAFile": c.ClientCAFile, "authTokenFile": c.AuthTokenFile,
		"cniBinDir": c.CNIBinDir, "cniConfDir": c.CNIConfDir, "resolvConf": c.ResolvConf,
	} {
		form(key, path, path == "" || absolute(path))
	}
	for _, dir := range c.CDISpecDirs {
		form("cdiSpecDirs", dir, absolute(dir))
	}
	form("containerd", c.Containerd, c.Containerd == embeddedContainerd || absolute(c.Containerd))
	form("runtime", c.Runtime, runtimeName(c.Runtime))
	for _, class := range slices.Sorted(maps.Keys(c.RuntimeClasses)) {
		form("runtimeClasses", class+": "+c.RuntimeClasses[class], len(validation.IsDNS1123Subdomain(class)) == 0 && runtimeName(c.RuntimeClasses[class]))
	}
	form("listen", c.Listen, c.Listen == "" || address(c.Listen))
	form("tlsListen", c.TLSListen, c.TLSListen == "" || address(c.TLSListen))
	if c.TLSListen != "" && c.ClientCAFile == "" && c.AuthTokenFile == "" {
		add("tlsListen", errors.New("it lets nobody in without clientCAFile or authTokenFile in the configuration"))
	}
	if (c.TLSCertFile == "") != (c.TLSPrivateKeyFile == "") {
		given := map[bool]string{true: "tlsPrivateKeyFile", false: "tlsCertFile"}[c.TLSCertFile == ""]
		add(given, errors.New("tlsCertFile and tlsPrivateKeyFile go together; set both, or neither to have a certificate made"))
	}
	form("nodeName", c.NodeName, c.NodeName == defaults().NodeName || len(validation.IsDNS1123Subdomain(c.NodeName)) == 0)
	form("cgroupRoot", c.CgroupRoot, c.CgroupRoot == "" || filepath.Clean("/"+c.CgroupRoot) != "/" && printable(c.CgroupRoot) && !strings.Contains(c.CgroupRoot, ".."))
	form("socketGroup", c.SocketGroup, printable(c.SocketGroup) && !strings.HasPrefix(c.SocketGroup, "-") && !strings.Contains(c.SocketGroup, ":"))
	form("plainPort", c.PlainPort, c.PlainPort == plainMetrics || c.PlainPort == plainRead)
	form("unknownFields", c.UnknownFields, c.UnknownFields == "strict" || c.UnknownFields == "warn")
	form("clusterKinds", c.ClusterKinds, c.ClusterKinds == "warn" || c.ClusterKinds == "refuse")
	form("podPidsLimit", strconv.FormatInt(c.PodPidsLimit, 10), c.PodPidsLimit >= -1 && c.PodPidsLimit != 0)
	form("maxParallelStarts", strconv.Itoa(c.MaxParallelStarts), c.MaxParallelStarts >= 1)
	q, err := resource.ParseQuantity(c.ImageMaxSize)
	form("imageMaxSize", c.ImageMaxSize, c.ImageMaxSize == "" || err == nil && q.Sign() > 0)
	validatePulls(c, form, add)
	add("cgroupDriver", c.checkCgroupDriver())
	c.validateReserves(add)
	validateCollection(c, add)
	validateRollbacks(c, add)
	total, last := c.ShutdownGracePeriod.Duration, c.ShutdownGracePeriodCriticalPods.Duration
	switch {
	case total < 0:
		form("shutdownGracePeriod", total.String(), false)
	case last < 0:
		form("shutdownGracePeriodCriticalPods", last.String(), false)
	case total < last:
		add("shutdownGracePeriod", fmt.Errorf("it (%s) contains shutdownGracePeriodCriticalPods (%s), so it cannot be shorter", total, last))
	}
	add("allowedHosts", hosts.Check(c.AllowedHosts))
	_, err = host.ParseNodeIP(c.NodeIP)
	add("nodeIP", err)
	add(firstKey(c.checkSigning(), "manifestVersions", "manifestKeyFile"))
	add("bundleKeyFile", checkBundles(c))
	add(firstKey(bridge.CheckSubnets(c.PodCIDR, c.PodCIDR6), "podCIDR6", "podCIDR"))
	_, err = c.services()
	add(firstKey(err, "serviceCIDR", "serviceNodePortRange", "clusterDNS", "clusterDomain", "stubDomains"))
	_, err = c.logLimits()
	add(firstKey(err, "containerLogMaxSize", "containerLogMaxFiles"))
	for _, p := range c.checkEviction() {
		add(p.Setting, p.Err)
	}
	_, err = policy.New(c.PodSecurity, c.Policy)
	add(firstKey(err, "podSecurity", "policy"))
	_, err = c.auditFile()
	add(firstKey(err, "auditLogMaxSize", "auditLogMaxBackups", "auditLog"))
	_, err = c.level()
	add("logLevel", err)
	slices.SortStableFunc(wrong, func(a, b settingError) int { return cmp.Compare(a.key, b.key) })
	return wrong
}

// firstKey is which of the keys an error is about: the one that it begins with.
func firstKey(err error, keys ...string) (string, error) {
	if err == nil {
		return "", nil
	}
	for _, key := range keys {
		if strings.HasPrefix(err.Error(), key) {
			return key, err
		}
	}
	return keys[0], err
}

// fits says what of the configuration this machine cannot do; elsewhere it may be right.
func (c *config) fits() error {
	if cgroup.Driver(c.CgroupDriver) == cgroup.Systemd && !cgroup.Unified() {
		return errors.New("cgroupDriver: systemd needs cgroup v2, and this machine has v1; use cgroupfs")
	}
	return nil
}

func (c *config) checkCgroupDriver() error {
	switch cgroup.Driver(c.CgroupDriver) {
	case "", cgroup.Cgroupfs, cgroup.Systemd:
		return nil
	}
	return fmt.Errorf("%q is not %s", c.CgroupDriver, settingForms["cgroupDriver"])
}

// runtimeName says whether a name is that of an OCI runtime in PATH, or the path of one.
func runtimeName(name string) bool {
	return name != "" && printable(name) && (filepath.IsAbs(name) || !strings.ContainsAny(name, "/ "))
}

func absolute(path string) bool { return filepath.IsAbs(path) && printable(path) }

// printable says whether a text has no control character, which no name or path of ours may have: the kernel ends it at a NUL.
func printable(text string) bool { return !strings.ContainsFunc(text, unicode.IsControl) }

// address says whether a text is an address to listen on, with a port.
func address(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && (host == "" || net.ParseIP(strings.SplitN(host, "%", 2)[0]) != nil || len(validation.IsDNS1123Subdomain(host)) == 0)
}
