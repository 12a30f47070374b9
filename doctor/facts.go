package doctor

// Config is what of the daemon's configuration a machine must be fit for.
type Config struct {
	// Runtimes are OCI runtimes, names or paths, the default one first.
	Runtimes []string
	// Containerd is the socket of one that runs outside; empty where it runs inside.
	Containerd string
	// Root, State and Logs are directories; Root holds layers of images.
	Root, State, Logs string
	CNIBinDirs        []string
	CNIConfDir        string
	// SystemdCgroups: pods' cgroups are made by systemd.
	SystemdCgroups bool
	// Companions are the programs that belong beside the binary, by name; those that are not there have no path.
	Companions map[string]string
}

// Facts are what was found.
type Facts struct {
	Config   Config
	Runtimes []Runtime
	Cgroups  Cgroups
	Kernel   Kernel
	// Overlay, Shared and Nftables are what went wrong in trying them; nil where they work.
	Overlay, Shared, Nftables error
	// Containerd is what the outside one had against being asked.
	Containerd error
	// KernelLog is why the kernel's log cannot be read, with what to do.
	KernelLog error
	// Writable are the directories' faults, by their names.
	Writable map[string]error
	// StateOnDisk: the state directory outlives a reboot.
	StateOnDisk bool
	// Networks is the CNI configuration that pods get: its name, and those of its plugins that are nowhere.
	Networks CNI
	// AppArmor is enabled in the kernel; Parser is the program that loads profiles into it.
	AppArmor bool
	Parser   string
	// Year is the machine's clock's.
	Year int
}

// Runtime is an OCI runtime.
type Runtime struct {
	Name, Path string
	// Err is why it cannot be run, or asked.
	Err error
	// Program is what it says it is, Version its version.
	Program, Version string
	// Features are what it says it can do ("runc features"); nil where it does not tell.
	Features *Features
}

// Features are those of a runtime that Solopod has use for.
type Features struct {
	IDMap, Seccomp, AppArmor bool
}

// Cgroups are the machine's.
type Cgroups struct {
	Unified bool
	// Hybrid: there is a tree of version 2 beside those of version 1.
	Hybrid      bool
	Controllers []string
	// Disabled are those that the kernel's command line switches off.
	Disabled []string
	// BootFile is where the kernel's command line stands on a Raspberry Pi; empty elsewhere.
	BootFile string
	// Writable is why no cgroup can be made.
	Writable error
}

// Kernel is what the kernel has.
type Kernel struct {
	Release      string
	Major, Minor int
	// Namespaces are the kinds there are: net, ipc, uts, pid, mnt, user.
	Namespaces []string
	// UserNamespaces is how many there may be.
	UserNamespaces int
	Seccomp        bool
	// Capabilities that Solopod uses and does not have.
	Lacking []string
	// InotifyInstances is how many a user may have.
	InotifyInstances int
	Systemd          bool
}

// CNI is the machine's configuration of networks.
type CNI struct {
	// Name is the network's that pods get; empty where there is no configuration.
	Name string
	// Lost are plugins that it names and no directory has.
	Lost []string
	Err  error
}
