// Package machine makes and runs a real small machine for tests: Debian 13 with systemd and cgroup v2 in QEMU, without
// hardware help. Its programs come from apt alone; the agent inside is Debian's qemu-guest-agent.
package machine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are what the machine has before Solopod is installed: a system, an OCI runtime with CNI plugins as the
// package wants them, and Debian's containerd, which the tests use as an outside one.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "e2fsprogs", "linux-image-cloud-amd64", "qemu-guest-agent",
	"runc", "crun", "criu", "containernetworking-plugins", "containerd", "busybox-static", "procps",
	"apparmor", "selinux-policy-default", "systemd-resolved", "ufw", "nftables",
}

const suite = "trixie"

// customize is run in the new system. The initrd holds what this machine's disks need and no more, and what a first boot
// would make is made: half the time until a command can be run. Nothing else starts by itself, and the journal stays in memory, so that what is written to the disk is Solopod's.
const customize = `set -e
printf 'MODULES=list\n' >/etc/initramfs-tools/conf.d/vm
printf 'virtio_pci\nvirtio_blk\next4\n' >>/etc/initramfs-tools/modules
update-initramfs -u
echo box >/etc/hostname
echo '127.0.0.1 localhost box' >/etc/hosts
echo '/dev/vda / ext4 rw,relatime 0 1' >/etc/fstab
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/vm.conf
systemctl mask containerd.service serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer
systemctl mask apparmor.service auditd.service systemd-resolved.service ufw.service nftables.service
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.53' >/etc/resolv.conf
printf 'SELINUX=permissive\nSELINUXTYPE=default\n' >/etc/selinux/config
systemctl mask modprobe@efi_pstore.service modprobe@configfs.service modprobe@fuse.service kmod-static-nodes.service
journalctl --update-catalog
touch /etc/.updated /var/.updated
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
`

// Image is a disk with an installed system, and the kernel that boots it.
type Image struct{ Disk, Kernel, Initrd string }

// Build makes the image below cache, or finds it there: it is made anew when what goes into it changes. Progress goes to
// out, a line a step.
func Build(ctx context.Context, cache string, out io.Writer) (*Image, error) {
	key := fmt.Sprintf("%x", sha256.Sum256([]byte(suite+strings.Join(packages, ",")+customize)))[:12]
	dir := filepath.Join(cache, key)
	image := &Image{Disk: filepath.Join(dir, "root.img"), Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd")}
	if _, err := os.Stat(dir); err == nil {
		return image, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) //nolint:errcheck // it is in the cache
	b := builder{ctx: ctx, work: work, out: out}
	b.step("installing Debian "+suite, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, b.path("root"))
	b.step("configuring it", "chroot", b.path("root"), "/bin/sh", "-c", customize)
	b.take("vmlinuz", "boot/vmlinuz-*")
	b.take("initrd", "boot/initrd.img-*")
	b.step("making its disk", "mke2fs", "-q", "-t", "ext4", "-d", b.path("root"), "-L", "root", b.path("root.img"), "4G")
	b.step("cleaning up", "rm", "-rf", b.path("root"))
	if b.err != nil {
		return nil, fmt.Errorf("cannot make the machine's image: %w", b.err)
	}
	return image, os.Rename(work, dir)
}

// builder runs the steps until one fails.
type builder struct {
	ctx  context.Context
	work string
	out  io.Writer
	err  error
}

func (b *builder) path(name string) string { return filepath.Join(b.work, name) }

func (b *builder) step(what, command string, args ...string) {
	if b.err != nil {
		return
	}
	fmt.Fprintf(b.out, "vm: %s\n", what)
	output, err := exec.CommandContext(b.ctx, command, args...).CombinedOutput()
	if err != nil {
		b.err = fmt.Errorf("%s: %s: %w: %s", what, command, err, output)
	}
}

// take moves the one file that matches out of the system.
func (b *builder) take(name, pattern string) {
	if b.err != nil {
		return
	}
	matches, err := filepath.Glob(filepath.Join(b.work, "root", pattern))
	if err != nil || len(matches) != 1 {
		b.err = errors.Join(err, fmt.Errorf("want one %s, there is %v", pattern, matches))
		return
	}
	b.err = os.Rename(matches[0], b.path(name))
}
