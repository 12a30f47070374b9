package e2e

import (
	"fmt"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// identity is who the processes of a container are, and what they may do.
var identity = area{name: "identity and rights", prepare: writeSeccompProfile, behaviours: []behaviour{
	{name: "the pod's runAsUser and runAsGroup are used", spec: "securityContext: {runAsUser: 1001, runAsGroup: 2002}", script: "echo $(id -u) $(id -g)", log: "1001 2002\n"},
	{name: "the container's runAsUser and runAsGroup win over the pod's", spec: "securityContext: {runAsUser: 1001, runAsGroup: 2002}", main: "securityContext: {runAsUser: 1003, runAsGroup: 2003}", script: "echo $(id -u) $(id -g)", log: "1003 2003\n"},
	{name: "a user may be 65534", main: "securityContext: {runAsUser: 65534}", script: "id -u", log: "65534\n"},
	{name: "a user may be root by name of its number", main: "image: " + namedImage + "\nsecurityContext: {runAsUser: 0}", script: "id -u", log: "0\n"},
	{name: "a user that the image does not know has group 0", main: "securityContext: {runAsUser: 4321}", script: "echo $(id -u) $(id -g)", log: "4321 0\n"},
	{name: "a user that the image knows has its group and groups", main: "securityContext: {runAsUser: 1234}", script: "echo $(id -u) $(id -g) $(id -G)", log: "1234 2345 2345 5678\n"},
	{name: "the image's user by name is used, with its groups", main: "image: " + namedImage, script: "echo $(id -u) $(id -g) $(id -G)", log: "1234 2345 2345 5678\n"},
	{name: "the image's user by number is used", main: "image: " + numericImage, script: "echo $(id -u) $(id -g)", log: "1234 2345\n"},
	{name: "the pod's user wins over the image's", spec: "securityContext: {runAsUser: 1001}", main: "image: " + namedImage, script: "id -u", log: "1001\n"},
	{name: "supplemental groups are added", spec: "securityContext: {runAsUser: 1001, runAsGroup: 1002, supplementalGroups: [1234, 5678]}", script: "id -G", log: "1002 1234 5678\n"},
	{name: "fsGroup is a supplemental group", spec: "securityContext: {runAsUser: 1001, runAsGroup: 1002, fsGroup: 3456}", script: "id -G", log: "1002 3456\n"},
	{name: "groups of the image are merged by default", spec: "securityContext: {runAsUser: 1234, supplementalGroups: [60000]}", script: "id -G", log: "2345 5678 60000\n"},
	{name: "groups of the image are merged with the policy Merge", spec: "securityContext: {runAsUser: 1234, supplementalGroups: [60000], supplementalGroupsPolicy: Merge}", script: "id -G", log: "2345 5678 60000\n"},
	{name: "groups of the image are left out with the policy Strict", spec: "securityContext: {runAsUser: 1234, supplementalGroups: [60000], supplementalGroupsPolicy: Strict}", script: "id -G", log: "2345 60000\n"},
	{name: "the status tells who the first process is", spec: "securityContext: {runAsUser: 1234, supplementalGroups: [60000], supplementalGroupsPolicy: Strict}", script: forever, check: func(c *trial) {
		p := c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
		if u := status(p, "main").User; u == nil || u.Linux == nil || u.Linux.UID != 1234 || u.Linux.GID != 2345 || fmt.Sprint(u.Linux.SupplementalGroups) != "[2345 60000]" {
			c.errorf("the user is %+v", u)
		}
	}},
	{name: "exec has the user and the groups of the container", spec: "securityContext: {runAsUser: 1001, runAsGroup: 1002, supplementalGroups: [1234]}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the groups", c.sh("echo $(id -u) $(id -G)"), "1001 1002 1234")
	}},

	{name: "runAsNonRoot lets a user of the manifest run", main: "securityContext: {runAsNonRoot: true, runAsUser: 1000}", script: "id -u", log: "1000\n"},
	{name: "runAsNonRoot lets a user of the image run that is a number", main: "image: " + numericImage + "\nsecurityContext: {runAsNonRoot: true}", script: "id -u", log: "1234\n"},
	{name: "runAsNonRoot keeps root of the manifest from running", main: "securityContext: {runAsNonRoot: true, runAsUser: 0}", script: "true", check: notStarted("root", "runAsNonRoot")},
	{name: "runAsNonRoot keeps root of the image from running", main: "securityContext: {runAsNonRoot: true}", script: "true", check: notStarted("root", "runAsNonRoot")},
	{name: "runAsNonRoot keeps a user from running that the image has by name alone", main: "image: " + namedImage + "\nsecurityContext: {runAsNonRoot: true}", script: "true", pending: "Solopod looks the name up in the image's own /etc/passwd, and lets the user run if it is not root", check: notStarted("named", "runAsNonRoot")},
	{name: "runAsNonRoot of the pod goes for all containers", spec: "securityContext: {runAsNonRoot: true}", script: "true", check: notStarted("root", "runAsNonRoot")},
	{name: "runAsNonRoot of the container wins over the pod's", spec: "securityContext: {runAsNonRoot: true}", main: "securityContext: {runAsNonRoot: false}", script: "id -u", log: "0\n"},

	{name: "the root file system can be written", script: "touch /f; echo $?", log: "0\n"},
	{name: "readOnlyRootFilesystem keeps the root file system from being written", main: "securityContext: {readOnlyRootFilesystem: true}", script: "touch /f", log: "touch: /f: Read-only file system\n", code: 1},
	{name: "readOnlyRootFilesystem leaves volumes and /dev/shm", spec: volume("emptyDir: {}"), main: "securityContext: {readOnlyRootFilesystem: true}\n" + mountedAt, script: "touch /v/f /dev/shm/f; echo $?", log: "0\n"},
	{name: "readOnlyRootFilesystem of one container does not hold for another", main: "securityContext: {readOnlyRootFilesystem: true}", script: "touch /f", code: 1, log: "touch: /f: Read-only file system\n", beside: item("other", "touch /f", ""), check: func(c *trial) {
		c.runsOnce()
		c.equal("the other's exit code", status(c.phase(v1.PodFailed), "other").State.Terminated.ExitCode, int32(0))
	}},

	{name: "a container is not privileged", spec: "hostNetwork: false", script: "ip link add dummy0 type dummy", log: "ip: RTNETLINK answers: Operation not permitted\n", code: 2},
	{name: "a privileged container may make network devices", spec: "hostNetwork: false", main: "securityContext: {privileged: true}", script: "ip link add dummy0 type bridge || ip link add dummy0 type dummy; ip -o link show dummy0 | cut -d: -f2", log: " dummy0\n"},
	{name: "a privileged container of a pod leaves the others unprivileged", main: "securityContext: {privileged: true}", script: "mount -t tmpfs none /mnt || mkdir /mnt && mount -t tmpfs none /mnt; grep -c ' /mnt tmpfs' /proc/mounts", check: func(c *trial) {
		c.contains("the mounts", c.logsOfEnded("main"), "1\n")
		c.contains("the other", c.logsOfEnded("other"), "ermission")
	}, beside: item("other", "mkdir /mnt; mount -t tmpfs none /mnt", "")},
	{name: "a privileged container has all capabilities", main: "securityContext: {privileged: true}", script: "grep CapBnd /proc/1/status; grep CapEff /proc/1/status", check: func(c *trial) {
		own, err := os.ReadFile("/proc/self/status")
		if err != nil {
			c.fatalf("%v", err)
		}
		_, rest, _ := strings.Cut(string(own), "CapBnd:\t")
		all, _, _ := strings.Cut(rest, "\n")
		c.equal("the capabilities", c.logsOfEnded("main"), "CapBnd:\t"+all+"\nCapEff:\t"+all+"\n")
	}},
	{name: "a privileged container sees the host's devices", main: "securityContext: {privileged: true}", script: "ls /dev/kmsg", log: "/dev/kmsg\n"},
	{name: "a container sees only common devices", script: "ls /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; ls /dev/kmsg /dev/mem", log: "/dev/full\n/dev/null\n/dev/random\n/dev/tty\n/dev/urandom\n/dev/zero\nls: /dev/kmsg: No such file or directory\nls: /dev/mem: No such file or directory\n", code: 1},
	{name: "a container cannot write the kernel's settings", script: "echo 1 >/proc/sys/vm/overcommit_memory", log: "/bin/sh: can't create /proc/sys/vm/overcommit_memory: Read-only file system\n", code: 1},
	{name: "a privileged container could write the kernel's settings", main: "securityContext: {privileged: true}", script: "grep -cE ' /proc/sys [a-z]+ ro' /proc/mounts; true", log: "0\n"},
	{name: "what /proc says of the host is masked", script: "cat /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c; ls /proc/acpi /proc/scsi 2>/dev/null | grep -v : | grep -c .; true", log: "0\n0\n"},

	{name: "privileges may be gained by default", spec: "securityContext: {runAsUser: 1000}", script: "grep NoNewPrivs /proc/self/status", log: "NoNewPrivs:\t0\n"},
	{name: "privileges may be gained with allowPrivilegeEscalation: true", main: "securityContext: {allowPrivilegeEscalation: true, runAsUser: 1000}", script: "grep NoNewPrivs /proc/self/status", log: "NoNewPrivs:\t0\n"},
	{name: "no privileges are gained with allowPrivilegeEscalation: false", main: "securityContext: {allowPrivilegeEscalation: false, runAsUser: 1000}", script: "grep NoNewPrivs /proc/self/status", log: "NoNewPrivs:\t1\n"},
	{name: "exec gains no privileges either", main: "securityContext: {allowPrivilegeEscalation: false}", script: forever, check: func(c *trial) {
		c.ready()
		c.equal("the flag", c.sh("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1")
	}},
	{name: "privileged with allowPrivilegeEscalation: false is refused", main: "securityContext: {allowPrivilegeEscalation: false, privileged: true}", script: "true", check: refused("privileged is true")},

	{name: "a container has the common capabilities", script: "grep CapEff /proc/self/status", log: "CapEff:\t00000000a80425fb\n"},
	{name: "all capabilities can be dropped", main: "securityContext: {capabilities: {drop: [ALL]}}", script: "grep -E 'Cap(Prm|Eff|Bnd|Inh)' /proc/self/status | cut -f2 | sort -u", log: "0000000000000000\n"},
	{name: "one capability can be dropped", main: "securityContext: {capabilities: {drop: [CHOWN]}}", script: "touch /f; chown 1 /f; grep CapEff /proc/self/status", log: "chown: /f: Operation not permitted\nCapEff:\t00000000a80425fa\n"},
	{name: "one capability can be added", main: "securityContext: {capabilities: {add: [NET_ADMIN]}}", script: "grep CapEff /proc/self/status", log: "CapEff:\t00000000a80435fb\n"},
	{name: "capabilities are added to none when all are dropped", main: "securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}", script: "grep CapEff /proc/self/status", log: "CapEff:\t0000000000000400\n"},
	{name: "the capabilities of a user who is not root are only a bound", main: "securityContext: {runAsUser: 1000, capabilities: {add: [NET_ADMIN]}}", script: "grep -E 'Cap(Eff|Bnd)' /proc/self/status", log: "CapEff:\t0000000000000000\nCapBnd:\t00000000a80435fb\n"},

	{name: "no filter of system calls by default", script: "grep Seccomp: /proc/self/status", log: "Seccomp:\t0\n"},
	{name: "seccompProfile Unconfined of a container wins over the pod's", spec: "securityContext: {seccompProfile: {type: RuntimeDefault}}", main: "securityContext: {seccompProfile: {type: Unconfined}}", script: "grep Seccomp: /proc/self/status", log: "Seccomp:\t0\n"},
	{name: "seccompProfile RuntimeDefault filters system calls", spec: "securityContext: {seccompProfile: {type: RuntimeDefault}}", script: "grep Seccomp: /proc/self/status; unshare -U true", log: "Seccomp:\t2\nunshare: unshare(0x10000000): Operation not permitted\n", code: 1},
	{name: "seccompProfile Localhost filters as its file says", spec: "securityContext: {seccompProfile: {type: Localhost, localhostProfile: no-mkdir.json}}", script: "mkdir /d; touch /f; ls /f", log: "mkdir: can't create directory '/d': Operation not permitted\n/f\n"},
	{name: "seccompProfile Localhost without its file keeps the container from starting", spec: "securityContext: {seccompProfile: {type: Localhost, localhostProfile: none.json}}", script: "true", check: func(c *trial) {
		p := c.wait("waiting", func(p *v1.Pod) bool {
			w := status(p, "main").State.Waiting
			return w != nil && strings.HasPrefix(w.Reason, "CreateContainer")
		})
		c.contains("the message", status(p, "main").State.Waiting.Message, "none.json")
	}},
	{name: "a privileged container has no filter of system calls", main: "securityContext: {privileged: true, seccompProfile: {type: RuntimeDefault}}", script: "grep Seccomp: /proc/self/status", log: "Seccomp:\t0\n"},
	{name: "an absolute localhostProfile is refused", main: "securityContext: {seccompProfile: {type: Localhost, localhostProfile: /etc/x.json}}", script: "true", check: refused("/etc/x.json")},
}}

// writeSeccompProfile puts a profile where localhostProfile looks.
func writeSeccompProfile(b *box) {
	b.t.Helper()
	if err := os.MkdirAll(b.path("root/seccomp"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.writeFile("root/seccomp/no-mkdir.json", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}`)
}

// logsOfEnded waits for a container's end, and returns what it has printed.
func (c *trial) logsOfEnded(container string) string {
	c.wait(container+" ended", func(p *v1.Pod) bool { return status(p, container).State.Terminated != nil })
	return c.logs(container)
}

// notStarted is a container that waits with CreateContainerConfigError, with an event that says the same.
func notStarted(parts ...string) func(c *trial) {
	return func(c *trial) {
		c.contains("the message", c.waiting("CreateContainerConfigError").Message, parts...)
		c.event("Failed", parts[0])
		c.equal("the container", status(c.history()[len(c.history())-1].pod, "main").ContainerID, "")
	}
}

// namespaces is what pods share with the host and their containers with one another, and the kernel's settings for them.
var namespaces = area{name: "namespaces and sysctls", behaviours: []behaviour{
	{name: "a container is the first process of a PID namespace of its own", script: "[ $$$$ = 1 ]; echo $?", log: "0\n"},
	{name: "hostPID shows the host's processes", spec: "hostPID: true", script: "readlink /proc/self/ns/pid", check: sameAsHost("pid", true)},
	{name: "without hostPID the PID namespace is another", script: "readlink /proc/self/ns/pid", check: sameAsHost("pid", false)},
	{name: "hostIPC shares the host's IPC namespace", spec: "hostIPC: true", script: "readlink /proc/self/ns/ipc", check: sameAsHost("ipc", true)},
	{name: "without hostIPC the IPC namespace is another", script: "readlink /proc/self/ns/ipc", check: sameAsHost("ipc", false)},
	{name: "hostNetwork shares the host's network namespace", spec: "hostNetwork: true", script: "readlink /proc/self/ns/net", check: sameAsHost("net", true)},
	{name: "without hostNetwork the network namespace is another", spec: "hostNetwork: false", script: "readlink /proc/self/ns/net", check: sameAsHost("net", false)},
	{name: "a container's mounts are its own", script: "readlink /proc/self/ns/mnt", check: sameAsHost("mnt", false)},
	{name: "containers of a pod share network, IPC and host name, and nothing else", spec: bridged, script: forever, beside: item("other", forever, ""), check: func(c *trial) {
		c.ready()
		for name, shared := range map[string]bool{"net": true, "ipc": true, "uts": true, "pid": false, "mnt": false} {
			a, _ := c.exec("main", "readlink", "/proc/1/ns/"+name)
			b, _ := c.exec("other", "readlink", "/proc/1/ns/"+name)
			if !strings.HasPrefix(a, name+":[") || (a == b) != shared {
				c.errorf("the namespaces are %q and %q", a, b)
			}
		}
	}},
	{name: "shareProcessNamespace lets containers see each other's processes", spec: "shareProcessNamespace: true", script: "until ps -o args | grep -q '[s]leep 1234'; do usleep 100000; done; [ $$$$ = 1 ]; echo $?", log: "1\n", beside: item("other", "exec sleep 1234", ""), check: func(c *trial) {
		c.equal("the output", c.logsOfEnded("main"), "1\n")
	}},
	{name: "shareProcessNamespace lets a container signal another", spec: "shareProcessNamespace: true", script: "until p=$(ps -o pid,args | awk '/[s]leep 1234/ {print $1}'); [ -n \"$p\" ]; do usleep 100000; done; kill -9 $p", beside: item("other", "exec sleep 1234", ""), check: func(c *trial) {
		p := c.wait("ended", func(p *v1.Pod) bool { return status(p, "other").State.Terminated != nil })
		c.equal("the exit code", status(p, "other").State.Terminated.ExitCode, int32(137))
	}},
	{name: "with shareProcessNamespace the first process reaps what is left", spec: "shareProcessNamespace: true", script: "sh -c 'sleep 0.2 & exit' ; usleep 600000; ps -o stat,args | grep -c '^Z'; true", log: "0\n"},
	{name: "containers of a pod share System V memory", spec: "hostNetwork: false", script: "until [ -f /dev/shm/f ]; do usleep 100000; done; cat /dev/shm/f", log: "shared\n", beside: item("other", "echo shared >/dev/shm/.f; mv /dev/shm/.f /dev/shm/f", "")},
	{name: "/dev/shm has 64 MiB", script: "df -k /dev/shm | awk 'NR==2 {print $2}'", log: "65536\n"},
	{name: "hostPID with shareProcessNamespace is refused", spec: "hostPID: true\nshareProcessNamespace: true", script: "true", check: refused("hostPID")},

	{name: "a safe sysctl is set for the pod", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: '1'}]}", script: "cat /proc/sys/kernel/shm_rmid_forced", log: "1\n"},
	{name: "a sysctl may be written with slashes", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: kernel/shm_rmid_forced, value: '1'}]}", script: "cat /proc/sys/kernel/shm_rmid_forced", log: "1\n"},
	{name: "a sysctl of one pod is not another's", spec: "hostNetwork: false", script: "cat /proc/sys/kernel/shm_rmid_forced", log: "0\n"},
	{name: "safe sysctls of the network are set", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: net.ipv4.ip_local_port_range, value: '40000 50000'}, {name: net.ipv4.tcp_syncookies, value: '0'}, {name: net.ipv4.ping_group_range, value: '0 7'}]}",
		script: "cd /proc/sys/net/ipv4; cat ip_local_port_range tcp_syncookies ping_group_range", log: "40000\t50000\n0\n0\t7\n"},
	{name: "a sysctl wins over what a container gets anyway", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '512'}]}", script: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", log: "512\n"},
	{name: "a sysctl that the configuration allows is set", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: kernel.msgmax, value: '16384'}]}", script: "cat /proc/sys/kernel/msgmax", log: "16384\n"},
	{name: "a sysctl that is not allowed keeps the pod from running", spec: "hostNetwork: false\nsecurityContext: {sysctls: [{name: kernel.msgmnb, value: '16384'}]}", script: "true", check: refused("kernel.msgmnb")},
	{name: "sysctls that are not names are refused", spec: "securityContext: {sysctls: [{name: foo-, value: '1'}]}", script: "true", check: refused("foo-")},
	{name: "one sysctl twice is refused", spec: "securityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: '1'}, {name: kernel.shm_rmid_forced, value: '1'}]}", script: "true", check: refused("kernel.shm_rmid_forced")},
	{name: "a sysctl of the network goes not with hostNetwork", spec: "hostNetwork: true\nsecurityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '0'}]}", script: "true", check: refused("net.ipv4.tcp_syncookies")},
	{name: "a user who is not root may use low ports and ping", spec: "hostNetwork: false\nsecurityContext: {runAsUser: 1000}", main: "securityContext: {capabilities: {drop: [ALL]}}", script: "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ping_group_range; timeout 1 nc -l -p 80 2>/dev/null; echo $?", log: "0\n0\t2147483647\n143\n"},

	{name: "hostUsers: false makes users of the pod's own", spec: "hostUsers: false\nhostNetwork: false", script: "awk '{print $1, $3, ($2 != 0)}' /proc/self/uid_map /proc/self/gid_map", log: "0 65536 1\n0 65536 1\n"},
	{name: "two pods with hostUsers: false have users apart", spec: "hostUsers: false\nhostNetwork: false", script: "awk '{print $2}' /proc/self/uid_map", check: func(c *trial) {
		c.write(c.pod+"-other.yaml", c.manifest(c.pod+"-other"))
		c.ended()
		c.waitOther(c.pod+"-other", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		if a, b := c.logs("main"), c.get("/containerLogs/default/"+c.pod+"-other/main"); a == b {
			c.errorf("both have %s", a)
		}
	}},
	{name: "hostUsers: true keeps the host's users", spec: "hostUsers: true", script: "awk '{print $2, $3}' /proc/self/uid_map", log: "0 4294967295\n"},
	{name: "with hostUsers: false root owns what it owns otherwise", spec: "hostUsers: false\nhostNetwork: false\nvolumes: [{name: c, configMap: {name: @pod}}, {name: s, secret: {secretName: @pod}}, {name: d, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}, {name: p, projected: {sources: [{secret: {name: @pod}}]}}]",
		objects: configMap("@pod", "{k: v}") + "---\n" + secret("@pod", "{k: v}"), main: "volumeMounts: [{name: c, mountPath: /v/c}, {name: s, mountPath: /v/s}, {name: d, mountPath: /v/d}, {name: p, mountPath: /v/p}]",
		script: "stat -c '%u %g' $(find /v/ -type f) /bin | sort -u", log: "0 0\n"},
	{name: "with hostUsers: false fsGroup is the group in the container", spec: "hostUsers: false\nhostNetwork: false\nsecurityContext: {fsGroup: 200}\nvolumes: [{name: c, configMap: {name: @pod}}, {name: e, emptyDir: {}}]",
		objects: configMap("@pod", "{k: v}"), main: "volumeMounts: [{name: c, mountPath: /c}, {name: e, mountPath: /e}]", script: "stat -L -c %g /c/k /e", log: "200\n200\n"},
	{name: "procMount Unmasked shows what is masked otherwise, to a pod with users of its own", spec: "hostUsers: false\nhostNetwork: false", main: "securityContext: {procMount: Unmasked}", script: "grep -cE ' /proc/(keys|timer_list|acpi|kcore|scsi) ' /proc/mounts; true", log: "0\n"},
	{name: "procMount Default masks", spec: "hostUsers: false\nhostNetwork: false", main: "securityContext: {procMount: Default}", script: "grep -cE ' /proc/keys ' /proc/mounts; true", log: "1\n"},
	{name: "procMount Unmasked goes only with hostUsers: false", main: "securityContext: {procMount: Unmasked}", script: "true", check: refused("hostUsers")},
	{name: "a runtimeClassName that is not configured keeps the pod from starting", spec: "runtimeClassName: none-such", script: "true", check: func(c *trial) {
		p := c.wait("told", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "none-such") })
		c.equal("the phase", p.Status.Phase, v1.PodPending)
		c.event("FailedCreatePodSandBox", "none-such")
	}},
	{name: "hostUsers: false goes not with hostPID and hostIPC", spec: "hostUsers: false\nhostPID: true\nhostNetwork: false", script: "true", check: refused("hostNetwork, hostPID and hostIPC")},
}}

// sameAsHost compares a namespace that main prints with the host's.
func sameAsHost(kind string, same bool) func(c *trial) {
	return func(c *trial) {
		host, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			c.fatalf("%v", err)
		}
		c.equal("the namespace is the host's", strings.TrimSpace(c.logsOfEnded("main")) == host, same)
	}
}
