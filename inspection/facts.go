package inspection

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Facts are what is known of a box.
type Facts struct {
	Now      time.Time
	Settings Settings
	Paths    []Path
	// SocketGroup are the members of the socket's group; nil when it is root's.
	SocketGroup []string
	// Tokens are those of the file of tokens.
	Tokens       []Token
	Certificates []Certificate
	Runtimes     []Runtime
	// OnDisk: the state directory is on no file system in memory.
	OnDisk bool
	Kernel Kernel
	// Pods are nil when the daemon was not asked.
	Pods []v1.Pod
	// Unseen says what could not be looked at.
	Unseen []string
}

// Role is what a file is for Solopod.
type Role int

// Roles.
const (
	// Trusted: who can write to it is root.
	Trusted Role = iota
	// Private: nobody but root may enter or read it; who can write to it is root.
	Private
	// Open: others may write to it as a group, as to /var/log.
	Open
	// Control: the socket, which the members of a group may use.
	Control
	// Above: a directory above one of the others.
	Above
)

// Path is a file or directory.
type Path struct {
	Role Role
	// Name is the path, What a few words.
	Name, What string
	UID, GID   uint32
	// Mode are the bits of permissions; Sticky is the bit of directories in which one removes only one's own.
	Mode   uint32
	Sticky bool
	// Group is the one that may have it, of the socket.
	Group uint32
}

// Token is a line of the file of tokens, without the token.
type Token struct {
	User string
	// Length is the number of characters, Different how many of them differ.
	Length, Different int
}

// Certificate is one that a listener shows, or that is an authority of clients.
type Certificate struct {
	Path    string
	Until   time.Time
	KeyBits int // of RSA; zero of others
	Weak    string
}

// Runtime is an OCI runtime.
type Runtime struct {
	// Name is what was asked for, Program what it says it is (runc, crun), Version its version; empty when it does not tell.
	Name, Program, Version string
}

// Kernel is what the kernel says of itself.
type Kernel struct {
	CgroupV2, Seccomp bool
	// Module is apparmor or selinux, whichever is enforced; empty for none.
	Module string
	// Release is that of uname(2), as major and minor number.
	Major, Minor int
	// Sysctls by name; those that the kernel does not have are missing.
	Sysctls map[string]string
	// RouteLocalnet are the interfaces where it is on.
	RouteLocalnet []string
	// Swap are areas that are neither encrypted nor memory.
	Swap []string
}
