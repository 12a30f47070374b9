package namespace

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/process"
)

// A process namespace lives as long as its first process, and a user namespace begins with one. This process ignores the ends of
// its children, so that the kernel buries them, and sleeps; that is all. It is a program of a few hundred bytes, in machine
// code, so that it costs a pod whose containers share their processes two pages of memory.
var initCode = map[string][]byte{
	// rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8); for (;;) pause();
	"amd64": {
		0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x00, 0x6a, 0x01, // push 0, 0, 0, SIG_IGN
		0x48, 0x89, 0xe6, // mov rsi, rsp
		0x6a, 0x11, 0x5f, // rdi = SIGCHLD
		0x31, 0xd2, // rdx = 0
		0x6a, 0x08, 0x41, 0x5a, // r10 = 8
		0x6a, 0x0d, 0x58, 0x0f, 0x05, // rt_sigaction
		0x6a, 0x22, 0x58, 0x0f, 0x05, // pause
		0xeb, 0xf9,
	},
	// The same with ppoll, as arm64 has no pause.
	"arm64": words(
		0xd2800029, 0xa9be7fe9, 0xa9017fff, // {SIG_IGN, 0, 0, 0} on the stack
		0xd2800220, 0x910003e1, 0xd2800002, 0xd2800103, 0xd28010c8, 0xd4000001, // rt_sigaction(17, sp, 0, 8)
		0xd2800000, 0xd2800001, 0xd2800002, 0xd2800003, 0xd2800928, 0xd4000001, // ppoll(0, 0, 0, 0)
		0x17fffffa,
	),
}

func words(list ...uint32) []byte {
	var out []byte
	for _, w := range list {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// initProgram is the code as a program (elf(5)): a header, one segment, the code.
func initProgram(code []byte, machine uint16) []byte {
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	out := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	add := func(values ...any) {
		for _, v := range values {
			out, _ = binary.Append(out, binary.LittleEndian, v) // it cannot fail for numbers
		}
	}
	add(uint16(2), machine, uint32(1), uint64(base+headers), uint64(64), uint64(0), uint32(0), // ET_EXEC, entry, program headers
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0))
	add(uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000)) // PT_LOAD, readable and executable
	return append(out, code...)
}

var machines = map[string]uint16{"amd64": 62, "arm64": 183}

const (
	// firstFile holds the first process's id and start time.
	firstFile = "init"
	// programFile is its program, until firstFile is written.
	programFile = "program"
)

// startFirst starts the first process of new namespaces, and notes it in dir for FirstProcess. users are its users
// and groups where CLONE_NEWUSER is among flags.
func startFirst(dir string, flags uintptr, users *specs.LinuxIDMapping) (pid int, err error) {
	code, ok := initCode[runtime.GOARCH]
	if !ok {
		return 0, fmt.Errorf("shareProcessNamespace and hostUsers: false are not implemented for %s", runtime.GOARCH)
	}
	program := filepath.Join(dir, programFile)
	if err := durable.Replace(program, initProgram(code, machines[runtime.GOARCH]), 0o555); err != nil {
		return 0, err
	}
	defer os.Remove(program) //nolint:errcheck // it runs; the file is no longer needed
	found, err := executable(program)
	if err != nil {
		return 0, err
	}
	// By its descriptor, which the child has until it runs the program: users of the pod's own cannot enter dir.
	cmd := exec.Command(foreign.ByDescriptor(int(found.Fd())))
	cmd.Args, cmd.Env, cmd.Dir = []string{"init"}, []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Setsid: true}
	if users != nil {
		ids := []syscall.SysProcIDMap{{ContainerID: int(users.ContainerID), HostID: int(users.HostID), Size: int(users.Size)}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
		cmd.SysProcAttr.Credential = &syscall.Credential{}
	}
	if err := start(cmd, found); err != nil {
		return 0, fmt.Errorf("cannot start the first process of the pod: %w", err)
	}
	pid = cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // it ends when the pod does; while this Solopod runs somebody has to bury it
	started, err := startTime(pid)
	if err == nil {
		err = durable.Replace(filepath.Join(dir, firstFile), fmt.Appendf(nil, "%d %s", pid, started), 0o600)
	}
	if err != nil {
		return 0, errors.Join(err, unix.Kill(pid, unix.SIGKILL))
	}
	return pid, nil
}

// executable opens the program. Where the file system of the state directory is mounted noexec, as Debian has it for /run, it is a copy in
// memory, which goes with the process.
func executable(program string) (*os.File, error) {
	found, err := foreign.Find(program)
	if err != nil {
		return nil, err
	}
	var on unix.Statfs_t
	if err := unix.Fstatfs(int(found.Fd()), &on); err != nil || on.Flags&unix.ST_NOEXEC == 0 {
		return found, nil // without an answer it is tried
	}
	if err := found.Close(); err != nil {
		return nil, err
	}
	name, err := nameInMemory(program)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("the state directory is mounted noexec, and no program can be made in memory (vm.memfd_noexec): %w", err)
	}
	writable := os.NewFile(uintptr(fd), name)
	defer writable.Close() //nolint:errcheck // it is in memory
	if _, err := writable.Write(initProgram(initCode[runtime.GOARCH], machines[runtime.GOARCH])); err != nil {
		return nil, err
	}
	// What is open for writing cannot be run.
	return foreign.Reopen(writable, foreign.Regular, os.O_RDONLY)
}

// nameInMemory is the name of a program's copy in memory, by which cutOff finds it again.
func nameInMemory(program string) (string, error) {
	path, err := filepath.EvalSymlinks(program)
	return fmt.Sprintf("solopod-first-%x", sha256.Sum256([]byte(path)))[:48], err
}

// startLimit is for a process to begin; it takes milliseconds, but its program is read from the state directory.
const startLimit = 5 * time.Second

// start starts a command, or leaves it behind: it is killed then as soon as it has begun. For its end process.Kill's limit holds. program is
// what it runs by descriptor, and is closed once it runs.
func start(cmd *exec.Cmd, program *os.File) error {
	started := make(chan error, 1)
	go func() {
		defer program.Close() //nolint:errcheck // only looked at
		started <- cmd.Start()
	}()
	timer := time.NewTimer(startLimit)
	defer timer.Stop()
	select {
	case err := <-started:
		return err
	case <-timer.C:
	}
	go func() {
		if <-started == nil {
			cmd.Process.Kill() //nolint:errcheck // nobody knows of it
			cmd.Wait()         //nolint:errcheck // it was killed
		}
	}()
	return fmt.Errorf("it has not begun after %s", startLimit)
}

// startTime tells a process from another one with the same id (proc_pid_stat(5), field 22).
func startTime(pid int) (string, error) {
	text, err := foreign.ReadKernel(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 || fields[0] == "Z" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	return fields[19], nil
}

// maxFirst bounds firstFile, in bytes: two numbers.
const maxFirst = 128

// FirstProcess finds the first process of dir's shared process namespace; it is zero when there is none, or it has ended: then
// nothing starts there any more.
func FirstProcess(dir string) int {
	text, err := foreign.ReadFile(filepath.Join(dir, firstFile), maxFirst)
	if err != nil {
		return 0
	}
	number, started, _ := strings.Cut(string(text), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	if now, err := startTime(pid); err != nil || now != started {
		return 0
	}
	return pid
}

// endFirst ends the first process, and with it whatever is left in its process namespace.
func endFirst(dir string) error {
	pids := cutOff(dir)
	if pid := FirstProcess(dir); pid != 0 {
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := process.Kill(pid); err != nil {
			return fmt.Errorf("cannot end the first process of the pod: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, firstFile)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// cutOff finds first processes whose set-up was cut off, so that firstFile may not name them. The program, which is removed after that
// is written, is there then; as a rule it is not, and nothing is looked for.
func cutOff(dir string) []int {
	program, err := filepath.EvalSymlinks(filepath.Join(dir, programFile)) // as the kernel tells it
	if err != nil {
		return nil
	}
	name, err := nameInMemory(program)
	if err != nil {
		return nil
	}
	copied := "/memfd:" + name + " (deleted)"
	return slices.DeleteFunc(process.All(), func(pid int) bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return err != nil || exe != program && exe != copied
	})
}
