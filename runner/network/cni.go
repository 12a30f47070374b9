package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/network/plugin"
)

// What CNI plugins may take.
const (
	// addLimit is for all plugins of a network together, when a pod is attached.
	addLimit = time.Minute
	// delLimit is for giving back what they gave.
	delLimit = 30 * time.Second
	// undoLimit is for giving back what an ADD that failed, or was cancelled, has left; Detach tries again. With what plugins take
	// to be killed, before and after, it is all that goes on when the context has ended: seven seconds.
	undoLimit = 3 * time.Second
)

// cni runs the node's CNI plugins.
type cni struct {
	config *libcni.CNIConfig
	dir    string
	cache  string
	// instance tells daemons of one machine apart.
	instance string

	mu sync.Mutex
	// unfinished are networks, by pod UID, whose plugins may have given something that the cache does not know: an ADD that
	// failed, and could not be undone.
	unfinished map[string]*libcni.NetworkConfigList
}

func newCNI(c Config) *cni {
	return &cni{
		config:     libcni.NewCNIConfigWithCacheDir(c.CNIBinDirs, c.CNICacheDir, &plugin.Exec{}),
		dir:        c.CNIConfDir,
		cache:      c.CNICacheDir,
		instance:   c.Bridge,
		unfinished: map[string]*libcni.NetworkConfigList{},
	}
}

// Configured is the network of a CNI configuration directory that pods would get, and the programs of its plugins; the name is empty where
// there is no configuration.
func Configured(dir string) (name string, plugins []string, err error) {
	list, err := newCNI(Config{CNIConfDir: dir}).load()
	if err != nil || list == nil {
		return "", nil, err
	}
	for _, p := range list.Plugins {
		plugins = append(plugins, p.Network.Type)
		if ipam := p.Network.IPAM.Type; ipam != "" {
			plugins = append(plugins, ipam)
		}
	}
	return list.Name, plugins, nil
}

// load returns the first network of the configuration directory by file name, as CRI runtimes choose it, and nil when
// there is none.
func (c *cni) load() (*libcni.NetworkConfigList, error) {
	files, err := libcni.ConfFiles(c.dir, []string{".conf", ".conflist", ".json"})
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("cannot read the CNI configuration of %s: %w", c.dir, err)
	}
	if len(files) == 0 {
		return nil, nil
	}
	first := files[0]
	for _, f := range files {
		if f < first {
			first = f
		}
	}
	list, err := readConfig(first)
	if err != nil {
		return nil, fmt.Errorf("cannot read the CNI configuration %s: %w", first, err)
	}
	return list, nil
}

// maxConfig bounds a file of CNI configuration, in bytes.
const maxConfig = 1 << 20

// readConfig reads a list of plugins, or a single one. What installs CNI is a pod as often as not, and can put anything there: libcni
// would open it whatever it is.
func readConfig(path string) (*libcni.NetworkConfigList, error) {
	data, err := foreign.ReadFollowing(path, maxConfig)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".conflist") {
		//nolint:staticcheck // SA1019: files with a single plugin are still in use on nodes
		single, err := libcni.ConfFromBytes(data)
		if err != nil {
			return nil, err
		}
		//nolint:staticcheck // SA1019: see above
		return libcni.ConfListFromConf(single)
	}
	list, err := libcni.ConfListFromBytes(data)
	if err != nil {
		return nil, err
	}
	if !list.LoadOnlyInlinedPlugins { // as libcni.NetworkConfFromFile
		more, err := readPlugins(filepath.Join(filepath.Dir(path), list.Name))
		if err != nil {
			return nil, err
		}
		list.Plugins = append(list.Plugins, more...)
	}
	if len(list.Plugins) == 0 {
		return nil, errors.New("it names no plugin")
	}
	return list, nil
}

// readPlugins reads the plugins of a list that lie in a directory of their own, as libcni.NetworkPluginConfsFromFiles.
func readPlugins(dir string) (plugins []*libcni.PluginConfig, err error) {
	files, err := libcni.ConfFiles(dir, []string{".conf"})
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		data, err := foreign.ReadFollowing(path, maxConfig)
		if err != nil {
			return nil, err
		}
		plugin, err := libcni.NetworkPluginConfFromBytes(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		plugins = append(plugins, plugin)
	}
	return plugins, nil
}

// id names an attachment for the plugins. Their store is the machine's: another daemon may run a pod of the same UID.
func (c *cni) id(uid string) string { return c.instance + "-" + uid }

func (c *cni) runtimeConf(p Pod) *libcni.RuntimeConf {
	mappings := make([]map[string]any, 0, len(p.Ports))
	for _, port := range p.Ports {
		mappings = append(mappings, map[string]any{
			"hostPort": port.HostPort, "containerPort": port.ContainerPort,
			"protocol": strings.ToLower(port.Protocol), "hostIP": port.HostIP,
		})
	}
	return &libcni.RuntimeConf{
		ContainerID: c.id(p.UID), NetNS: p.Netns, IfName: "eth0",
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", p.Namespace}, {"K8S_POD_NAME", p.Name}, {"K8S_POD_UID", p.UID},
			{"K8S_POD_INFRA_CONTAINER_ID", c.id(p.UID)},
		},
		CapabilityArgs: map[string]any{"portMappings": mappings},
	}
}

func (c *cni) add(ctx context.Context, list *libcni.NetworkConfigList, p Pod) (Attachment, error) {
	rt := c.runtimeConf(p)
	limited, cancel := context.WithTimeout(ctx, addLimit)
	defer cancel()
	result, err := c.config.AddNetworkList(limited, list, rt)
	if err != nil {
		return Attachment{}, errors.Join(fmt.Errorf("CNI network %q: %w", list.Name, err), c.undo(ctx, list, p))
	}
	current, err := types100.GetResult(result)
	if err != nil {
		return Attachment{}, fmt.Errorf("CNI network %q: %w", list.Name, err)
	}
	a := Attachment{ByCNI: true}
	for _, ip := range current.IPs {
		a.IPs = append(a.IPs, ip.Address.IP.String())
	}
	if !mapsPorts(list) {
		a.Ports = p.Ports
	}
	return a, nil
}

// undo gives back what the plugins of a network gave before one failed: also when ctx has ended, which may be the reason.
func (c *cni) undo(ctx context.Context, list *libcni.NetworkConfigList, p Pod) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	err := c.config.DelNetworkList(limited, list, c.runtimeConf(p))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.unfinished[p.UID] = list
		return fmt.Errorf("cannot give back what CNI network %q gave: %w", list.Name, err)
	}
	delete(c.unfinished, p.UID)
	return nil
}

func (c *cni) isUnfinished(uid string) *libcni.NetworkConfigList {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unfinished[uid]
}

func mapsPorts(list *libcni.NetworkConfigList) bool {
	for _, plugin := range list.Plugins {
		if plugin.Network.Capabilities["portMappings"] {
			return true
		}
	}
	return false
}

// knows says whether the plugins' cache holds an attachment of the pod, or an ADD has left something.
func (c *cni) knows(uid string) bool {
	if c.isUnfinished(uid) != nil {
		return true
	}
	matches, err := filepath.Glob(filepath.Join(c.cache, "results", "*-"+c.id(uid)+"-eth0"))
	return err == nil && len(matches) > 0
}

// del returns what the plugins gave, using the configuration that the cache holds: the node's may have changed.
func (c *cni) del(ctx context.Context, p Pod) error {
	if list := c.isUnfinished(p.UID); list != nil {
		if err := c.undo(ctx, list, p); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, delLimit)
	defer cancel()
	attachments, err := c.config.GetCachedAttachments(c.id(p.UID))
	if err != nil {
		return fmt.Errorf("cannot read CNI's cache: %w", err)
	}
	var errs []error
	for _, a := range attachments {
		list, err := libcni.ConfListFromBytes(a.Config)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot read the cached CNI configuration of network %q: %w", a.Network, err))
			continue
		}
		rt := c.runtimeConf(p)
		if _, err := os.Stat(rt.NetNS); err != nil {
			rt.NetNS = "" // as after a reboot: plugins then only return the address
		}
		rt.IfName, rt.Args, rt.CapabilityArgs = a.IfName, a.CniArgs, a.CapabilityArgs
		if err := c.config.DelNetworkList(ctx, list, rt); err != nil {
			errs = append(errs, fmt.Errorf("CNI network %q: %w", a.Network, err))
		}
	}
	return errors.Join(errs...)
}
