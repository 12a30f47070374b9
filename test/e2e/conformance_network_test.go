package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

const bridged = "hostNetwork: false"

// hostResolver is the host's resolv.conf, without its comments.
func hostResolver() []string {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && !strings.HasPrefix(fields[0], "#") {
			out = append(out, strings.Join(fields, " "))
		}
	}
	return out
}

// networking is names, addresses and ports.
var networking = area{name: "network and names", behaviours: []behaviour{
	{name: "the host name is the pod's name", spec: bridged, script: "hostname", log: "@pod\n"},
	{name: "the host name may be another", spec: bridged + "\nhostname: other", script: "hostname", log: "other\n"},
	{name: "hostname and subdomain make a full name", spec: bridged + "\nhostname: one\nsubdomain: two", script: "hostname; hostname -f", check: func(c *trial) {
		lines := strings.Fields(c.logsOfEnded("main"))
		if len(lines) != 2 || lines[0] != "one" || !strings.HasPrefix(lines[1], "one.two.default.svc") {
			c.errorf("the names are %q", lines)
		}
	}},
	{name: "setHostnameAsFQDN makes the full name the host name", spec: bridged + "\nhostname: one\nsubdomain: two\nsetHostnameAsFQDN: true", script: "hostname", check: func(c *trial) {
		c.contains("the name", c.logsOfEnded("main"), "one.two.default.svc")
	}},
	{name: "setHostnameAsFQDN without a subdomain changes nothing", spec: bridged + "\nhostname: one\nsetHostnameAsFQDN: true", script: "hostname", log: "one\n"},
	{name: "setHostnameAsFQDN with more than 64 characters keeps the pod from starting", spec: bridged + "\nhostname: " + strings.Repeat("a", 60) + "\nsubdomain: two\nsetHostnameAsFQDN: true", script: "hostname", check: func(c *trial) {
		p := c.wait("told", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "64") })
		c.equal("the phase", p.Status.Phase, v1.PodPending)
	}},
	{name: "hostnameOverride is the host name, whatever else is said", spec: bridged + "\nhostnameOverride: some.other.name", script: "hostname", log: "some.other.name\n"},
	{name: "a pod's name of more than 63 characters is cut for the host name", spec: bridged, script: "hostname", check: func(c *trial) {
		name := c.pod + "-" + strings.Repeat("a", 70)
		c.write(c.pod+"-long.yaml", c.manifest(name))
		c.waitOther(name, "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		c.equal("the host name", c.get("/containerLogs/default/"+name+"/main"), name[:63]+"\n")
	}},
	{name: "on the host's network the host name is the host's", script: "hostname", check: func(c *trial) {
		host, err := os.Hostname()
		if err != nil {
			c.fatalf("%v", err)
		}
		c.equal("the name", c.logsOfEnded("main"), host+"\n")
	}},

	{name: "the hosts file has localhost and the pod's address", spec: bridged, script: "cat /etc/hosts; hostname -i", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		text := strings.Join(strings.Fields(c.logs("main")), " ")
		c.contains("the file", text, "127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", p.Status.PodIP+" "+c.pod)
	}},
	{name: "the hosts file begins with the kubelet's line, by which programs know it", spec: bridged, script: "head -n 1 /etc/hosts", log: "# Kubernetes-managed hosts file.\n"},
	{name: "all containers of a pod have the hosts file", spec: bridged, init: item("one", "grep -c @pod /etc/hosts", ""), script: "grep -c @pod /etc/hosts", beside: item("other", "grep -c @pod /etc/hosts", ""), check: func(c *trial) {
		addresses := len(c.phase(v1.PodSucceeded).Status.PodIPs)
		for _, name := range []string{"one", "main", "other"} {
			c.equal("the lines of "+name, c.logs(name), fmt.Sprintf("%d\n", addresses))
		}
	}},
	{name: "hostAliases are in the hosts file", spec: bridged + "\nhostAliases: [{ip: 123.45.67.89, hostnames: [foo, bar]}]", script: "grep 123.45 /etc/hosts | tr '\\t' ' '; nslookup foo 127.0.0.9 >/dev/null 2>&1; ping -c 1 -W 1 foo 2>&1 | head -n 1 | cut -d' ' -f3", check: func(c *trial) {
		c.contains("the file", c.logsOfEnded("main"), "123.45.67.89 foo bar\n")
	}},
	{name: "hostAliases hold on the host's network, too", spec: "hostAliases: [{ip: 123.45.67.89, hostnames: [foo]}]", script: "grep -c '^123.45.67.89' /etc/hosts", log: "1\n"},
	{name: "on the host's network the hosts file is the host's", script: "cat /etc/hosts", check: func(c *trial) {
		host, err := os.ReadFile("/etc/hosts")
		if err != nil {
			c.fatalf("%v", err)
		}
		c.contains("the file", c.logsOfEnded("main"), strings.TrimSpace(string(host)))
	}},
	{name: "a container that mounts its own hosts file has that", objects: configMap("@pod", "{hosts: mine}"), spec: bridged + "\n" + volume("configMap: {name: @pod}"), main: "volumeMounts: [{name: v, mountPath: /etc/hosts, subPath: hosts}]", script: "cat /etc/hosts; echo", log: "mine\n"},
	{name: "the hosts file can be written, and is shared by the containers", spec: bridged, script: "echo 1.2.3.4 mine >>/etc/hosts; grep -c mine /etc/hosts", log: "1\n"},

	{name: "dnsPolicy Default gives what the host has", spec: bridged + "\ndnsPolicy: Default", script: "grep -v '^#' /etc/resolv.conf", check: func(c *trial) { c.contains("the file", c.logsOfEnded("main"), hostResolver()...) }},
	{name: "dnsPolicy ClusterFirst without a cluster gives what the host has", spec: bridged + "\ndnsPolicy: ClusterFirst", script: "grep -v '^#' /etc/resolv.conf", check: func(c *trial) { c.contains("the file", c.logsOfEnded("main"), hostResolver()...) }},
	{name: "dnsPolicy None gives what the manifest says alone", spec: bridged + "\ndnsPolicy: None\ndnsConfig: {nameservers: [1.2.3.4, 5.6.7.8], searches: [a.example, b.example], options: [{name: ndots, value: '2'}, {name: edns0}]}", script: "grep -v '^#' /etc/resolv.conf",
		check: func(c *trial) {
			lines := strings.Split(strings.TrimSpace(c.logsOfEnded("main")), "\n")
			c.contains("the file", strings.Join(lines, "\n"), "nameserver 1.2.3.4\nnameserver 5.6.7.8", "search a.example b.example", "options ndots:2 edns0")
			c.equal("the lines", len(lines), 4)
		}},
	{name: "dnsPolicy None without a name server is refused", spec: bridged + "\ndnsPolicy: None", script: "true", check: refused("name server")},
	{name: "dnsConfig is added to what the host has", spec: bridged + "\ndnsPolicy: Default\ndnsConfig: {nameservers: [1.2.3.4], searches: [a.example], options: [{name: ndots, value: '3'}]}", script: "cat /etc/resolv.conf", check: func(c *trial) {
		text := c.logsOfEnded("main")
		c.contains("the file", text, "nameserver 1.2.3.4", "a.example", "ndots:3")
		for _, line := range hostResolver() {
			if strings.HasPrefix(line, "nameserver") {
				c.contains("the file", text, line)
			}
		}
	}},
	{name: "more than three name servers are refused", spec: bridged + "\ndnsPolicy: None\ndnsConfig: {nameservers: [1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4]}", script: "true", check: refused("3")},
	{name: "dnsConfig holds on the host's network", spec: "dnsPolicy: None\ndnsConfig: {nameservers: [1.2.3.4]}", script: "grep nameserver /etc/resolv.conf", log: "nameserver 1.2.3.4\n"},

	{name: "a pod has an interface eth0 with its address, and a default route", spec: bridged, script: "ip -o -4 addr show eth0 | awk '{print $4}' | cut -d/ -f1; ip route | grep -c '^default'", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		c.equal("what it sees", c.logs("main"), p.Status.PodIP+"\n1\n")
	}},
	{name: "a pod's loopback is up", spec: bridged, script: "ping -c 1 -W 2 127.0.0.1 >/dev/null; echo $?", log: "0\n"},
	{name: "containers of a pod reach each other by localhost", spec: bridged, script: "until nc 127.0.0.1 8080 </dev/null 2>/dev/null; do usleep 100000; done", log: "from the other\n", beside: item("other", "nc -l -p 8080 -e echo from the other", "")},
	{name: "a pod reaches itself by its address", spec: bridged, script: "nc -l -p 8080 -e echo from itself & until nc $(hostname -i) 8080 </dev/null 2>/dev/null; do usleep 100000; done", log: "from itself\n"},
	{name: "a pod reaches another, who sees its address", spec: bridged, script: "mkdir /www; echo hello >/www/f; exec httpd -f -vv -p 8080 -h /www", check: func(c *trial) {
		p := c.ready()
		other := behaviour{spec: bridged, script: "until wget -q -O - http://" + p.Status.PodIP + ":8080/f; do usleep 100000; done"}
		c.write(c.pod+"-other.yaml", other.manifest(c.pod+"-other"))
		q := c.waitOther(c.pod+"-other", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		c.equal("what it read", c.get("/containerLogs/default/"+c.pod+"-other/main"), "hello\n")
		c.contains("whom it saw", c.logs("main"), q.Status.PodIP+"]:")
	}},
	{name: "the host reaches a pod by its address", spec: bridged, main: "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}", script: "exec nc -ll -p 8080 -e echo from the pod", check: func(c *trial) {
		p := c.wait("with an address", func(p *v1.Pod) bool { return p.Status.PodIP != "" && status(p, "main").State.Running != nil })
		c.until("it answers", func() error { return says("tcp", net.JoinHostPort(p.Status.PodIP, "8080"), "from the pod\n") })
	}},
	{name: "a hostPort leads to the pod", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port}]", script: "exec nc -ll -p 8080 -e echo from the pod", check: func(c *trial) {
		p := c.wait("with an address", func(p *v1.Pod) bool { return p.Status.PodIP != "" && status(p, "main").State.Running != nil })
		c.until("it answers", func() error { return says("tcp", net.JoinHostPort(p.Status.HostIP, c.port), "from the pod\n") })
		c.until("it answers on the loopback", func() error { return says("tcp", net.JoinHostPort("127.0.0.1", c.port), "from the pod\n") })
	}},
	{name: "a hostPort with a hostIP leads there alone", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port, hostIP: 127.0.0.1}]", script: "exec nc -ll -p 8080 -e echo from the pod", check: func(c *trial) {
		p := c.wait("with an address", func(p *v1.Pod) bool { return p.Status.PodIP != "" && status(p, "main").State.Running != nil })
		c.until("it answers", func() error { return says("tcp", net.JoinHostPort("127.0.0.1", c.port), "from the pod\n") })
		if says("tcp", net.JoinHostPort(p.Status.HostIP, c.port), "from the pod\n") == nil {
			c.errorf("it answers on %s, too", p.Status.HostIP)
		}
	}},
	{name: "a hostPort of UDP leads to the pod", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port, protocol: UDP}]", script: forever, check: func(c *trial) {
		p := c.ready()
		var conn net.PacketConn
		if err := inNetwork(c.b.pid(p, "main"), func() (err error) {
			conn, err = net.ListenPacket("udp4", ":8080")
			return err
		}); err != nil {
			c.fatalf("%v", err)
		}
		defer conn.Close()
		go func() {
			buf := make([]byte, 16)
			for {
				_, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				conn.WriteTo([]byte("from the pod\n"), from) //nolint:errcheck // the test looks whether it comes
			}
		}()
		c.until("it answers", func() error { return says("udp", net.JoinHostPort(p.Status.HostIP, c.port), "from the pod\n") })
	}},
	{name: "two pods may have one hostPort for two protocols", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port}]", script: forever, check: func(c *trial) {
		c.ready()
		other := c.behaviour
		other.main = "ports: [{containerPort: 8080, hostPort: @port, protocol: UDP}]"
		c.write(c.pod+"-other.yaml", other.manifest(c.pod+"-other"))
		c.waitOther(c.pod+"-other", "ready", isReady)
	}},
	{name: "two pods may have one hostPort for two addresses", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port, hostIP: 127.0.0.1}]", script: forever, check: func(c *trial) {
		c.ready()
		other := c.behaviour
		other.main = "ports: [{containerPort: 8080, hostPort: @port, hostIP: 127.0.0.2}]"
		c.write(c.pod+"-other.yaml", other.manifest(c.pod+"-other"))
		c.waitOther(c.pod+"-other", "ready", isReady)
	}},
	{name: "a hostPort that another pod has keeps a pod waiting until it goes", spec: bridged, main: "ports: [{containerPort: 8080, hostPort: @port}]", script: forever, check: func(c *trial) {
		c.ready()
		c.write(c.pod+"-other.yaml", c.manifest(c.pod+"-other"))
		p := c.waitOther(c.pod+"-other", "told", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, c.pod) })
		c.contains("the message", p.Status.Message, c.port)
		c.remove(c.pod + ".yaml")
		c.waitOther(c.pod+"-other", "ready", isReady)
	}},
	{name: "one hostPort twice in a pod is refused", spec: bridged, main: "ports: [{name: a, containerPort: 8080, hostPort: @port}, {name: b, containerPort: 8081, hostPort: @port}]", script: "true", check: refused("@port")},
	{name: "on the host's network a hostPort must be the containerPort", main: "ports: [{containerPort: 8080, hostPort: 8081}]", script: "true", check: refused("containerPort")},
}}

// inNetwork does something on a thread that is in a process's network; a socket that it opens stays there.
func inNetwork(pid int, do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- func() error {
			file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return do()
		}()
	}()
	return <-done
}

// says connects and compares what is sent.
func says(network, address, want string) error {
	conn, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if network == "udp" {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
	}
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return err
	}
	if string(buf) != want {
		return fmt.Errorf("it said %q", buf)
	}
	return nil
}
