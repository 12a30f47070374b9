package volume

import (
	"fmt"
	"os"
	"strings"

	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/runner/tmpfs"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// emptyDirMode lets any user of the pod write, as the kubelet's does.
const emptyDirMode = 0o777

func setUpDisk(path string, e *v1.EmptyDirVolumeSource) error {
	if _, err := os.Stat(path); err == nil {
		return nil // with the mode that it has been given
	}
	if err := makeOpenDir(path); err != nil {
		return err
	}
	return os.Chmod(path, modeOf(e))
}

// modeOf is the volume's own mode, sticky bit included, or the default.
func modeOf(e *v1.EmptyDirVolumeSource) os.FileMode {
	if e.Mode == nil {
		return emptyDirMode
	}
	mode := os.FileMode(*e.Mode & 0o777)
	if *e.Mode&0o1000 != 0 {
		mode |= os.ModeSticky
	}
	return mode
}

// setUpMemory mounts a tmpfs. Without a limit the kernel's own holds: half of the machine's memory.
func setUpMemory(path string, e *v1.EmptyDirVolumeSource) error {
	if tmpfs.Mounted(path) {
		return nil
	}
	if err := makeOpenDir(path); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=%04o", emptyDirMode)
	if e.Mode != nil {
		options = fmt.Sprintf("mode=%04o", *e.Mode)
	}
	if size, ok := strings.CutPrefix(string(e.Medium), v1.ResourceHugePagesPrefix); ok || e.Medium == v1.StorageMediumHugePages {
		return mountHugepages(path, size, options)
	}
	if e.SizeLimit != nil && e.SizeLimit.Sign() > 0 {
		options += fmt.Sprintf(",size=%d", amount.Whole(*e.SizeLimit))
	}
	return tmpfs.Mount("tmpfs", path, unix.MS_NOSUID|unix.MS_NODEV, options)
}

// makeOpenDir makes a volume's directory, which any user of its pods may use, below directories that root alone enters.
func makeOpenDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, emptyDirMode)
}

// mountHugepages mounts a file system of huge pages; an empty size means the machine's default one.
func mountHugepages(path, size, options string) error {
	if size != "" {
		q, err := resource.ParseQuantity(size)
		if err != nil {
			return err
		}
		options += fmt.Sprintf(",pagesize=%d", amount.Whole(q))
	}
	if err := unix.Mount("hugetlbfs", path, "hugetlbfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("cannot mount huge pages; does the machine have some (/proc/sys/vm/nr_hugepages)? %w", err)
	}
	return nil
}
