package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Machine is one machine with a disk of its own. It survives the end of its QEMU process: Boot starts it again from the
// same disk. It is not safe for concurrent use, but for Cut.
type Machine struct {
	image *Image
	dir   string
	disks []Disk
	// Clock is the machine's clock at boot, in QEMU's form; empty is the real time.
	Clock string
	// Memory is the machine's, in MiB; 1536 where it is zero.
	Memory int
	// KernelArgs are added to the kernel's command line.
	KernelArgs string
	// Ports are the names of serial ports inside (/dev/virtio-ports/<name>); what is written there reaches Said at once, power
	// or no power.
	Ports []string
	qemu  *exec.Cmd
	agent *agent
	ended chan struct{}
	boots int
}

// Disk is a raw image beside the root disk. One that is only read can be in several machines.
type Disk struct {
	Path     string
	ReadOnly bool
}

// New makes a machine in dir, which is the caller's to remove. Its disks are /dev/vdb, /dev/vdc and so on.
func New(ctx context.Context, image *Image, dir string, disks ...Disk) (*Machine, error) {
	m := &Machine{image: image, dir: dir, disks: disks}
	// What is written stays in QEMU's overlay and its own caches until the machine flushes: a cut loses it.
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.Disk, m.root()).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cannot make the machine's disk: %w: %s", err, out)
	}
	return m, nil
}

func (m *Machine) root() string { return filepath.Join(m.dir, "root.qcow2") }

// Console is what the machine has printed since its last boot.
func (m *Machine) Console() string {
	text, err := os.ReadFile(m.console())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (m *Machine) console() string { return filepath.Join(m.dir, "console-"+strconv.Itoa(m.boots)) }

func (m *Machine) port(name string) string {
	return filepath.Join(m.dir, name+"-"+strconv.Itoa(m.boots))
}

// Said is what the machine has written to a port since its last boot.
func (m *Machine) Said(port string) (string, error) {
	text, err := os.ReadFile(m.port(port))
	return string(text), err
}

// bootTime bounds a boot; it takes 15 seconds on an idle machine.
const bootTime = 4 * time.Minute

// Boot switches the machine on and waits until commands can be run on it. The caller must end it with Cut, or with a
// command that powers it off, and WaitOff.
func (m *Machine) Boot(ctx context.Context) error {
	m.boots++
	if m.Memory == 0 {
		m.Memory = 1536
	}
	socket := filepath.Join(m.dir, "agent-"+strconv.Itoa(m.boots))
	// One processor: with two, the emulator lets one run into instructions that the other is changing, now and then, and the
	// kernel stops with "Oops: int3".
	args := []string{
		"-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(m.Memory), "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
		"-kernel", m.image.Kernel, "-initrd", m.image.Initrd, "-append", "console=ttyS0 root=/dev/vda rw quiet psi=1 mitigations=off " +
			"module_blacklist=kvm,kvm_amd,powernow_k8,ata_piix,pata_acpi,floppy,psmouse,bochs,i2c_piix4,parport_pc,ppdev,evdev,rapl " + m.KernelArgs,
		"-serial", "file:" + m.console(), "-no-reboot",
		"-drive", "file=" + m.root() + ",format=qcow2,if=virtio,cache=writeback",
		"-device", "virtio-serial", "-chardev", "socket,id=agent,server=on,wait=off,path=" + socket,
		"-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
		"-device", "virtio-rng-pci",
	}
	for _, port := range m.Ports {
		args = append(args, "-chardev", "file,id="+port+",path="+m.port(port), "-device", "virtserialport,chardev="+port+",name="+port)
	}
	for _, disk := range m.disks {
		drive := "file=" + disk.Path + ",format=raw,if=virtio,cache=writeback"
		if disk.ReadOnly {
			drive += ",readonly=on"
		}
		args = append(args, "-drive", drive)
	}
	if m.Clock != "" {
		args = append(args, "-rtc", "base="+m.Clock)
	}
	m.qemu = exec.Command("qemu-system-x86_64", args...) //nolint:noctx // it ends with Cut
	messages, err := os.Create(filepath.Join(m.dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer messages.Close() //nolint:errcheck // the child has its own
	m.qemu.Stdout, m.qemu.Stderr = messages, messages
	if err := m.qemu.Start(); err != nil {
		return fmt.Errorf("cannot start QEMU: %w", err)
	}
	m.ended = make(chan struct{})
	go func(q *exec.Cmd, ended chan struct{}) {
		q.Wait() //nolint:errcheck // a kill is one of its ends
		close(ended)
	}(m.qemu, m.ended)
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	if m.agent, err = dialAgent(ctx, socket); err != nil {
		text, _ := os.ReadFile(messages.Name())
		m.Cut()
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// Cut takes the power away, at once; nothing that the machine has not flushed reaches its disk.
func (m *Machine) Cut() {
	if m.qemu == nil {
		return
	}
	m.qemu.Process.Kill() //nolint:errcheck // it may have ended
	<-m.ended
	m.off()
}

// WaitOff waits until the machine has switched itself off, or, as it is told not to reboot, wanted to boot again.
func (m *Machine) WaitOff(ctx context.Context) error {
	select {
	case <-m.ended:
		m.off()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the machine does not switch itself off: %w", ctx.Err())
	}
}

func (m *Machine) off() {
	if m.agent != nil {
		m.agent.conn.Close() //nolint:errcheck // nothing more is asked
	}
	m.qemu, m.agent = nil, nil
}

// ErrOff says that the machine is switched off.
var ErrOff = errors.New("the machine is off")

// Run runs a shell script as root and returns what it printed and its exit code. err is for what kept it from running.
func (m *Machine) Run(ctx context.Context, script string) (output string, code int, err error) {
	if m.agent == nil {
		return "", 0, ErrOff
	}
	return m.agent.exec(ctx, script)
}
