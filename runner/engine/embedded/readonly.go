package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/tmpfs"
)

// A root that cannot be written (a disk that the kernel has made read-only after an error) would bar every start: containerd opens its
// databases for writing. It gets a stand-in below the state directory, a tmpfs: copies of the databases, links to what only has to be
// read, and directories of its own for what is made anew. Containers run on, and new ones can be made from images that are there; what
// is made in this way is gone with the next boot, and images cannot be imported.

// standInName is the stand-in's name in the state directory. It goes with a reboot, or with the next start that can write.
const standInName = "read-only-root"

// writable says whether dir can be made and written to.
func writable(dir string) (bool, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".writable-"); err == nil {
			return true, errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if errors.Is(err, unix.EROFS) {
		return false, nil
	}
	return false, fmt.Errorf("cannot write to containerd's root: %w", err)
}

// usableRoot returns the root that containerd shall use, and, when that is a stand-in, a sentence that says so.
func usableRoot(c Config) (root, message string, err error) {
	standIn := filepath.Join(c.State, standInName)
	info, err := os.Stat(c.Root)
	if err == nil && !info.IsDir() {
		return c.Root, "", nil // for setAside
	}
	if _, there := os.Lstat(c.Root); err != nil && there == nil { // containerd's images are behind it, which come back with the disk
		return "", "", fmt.Errorf("containerd's root is a link that leads nowhere; mount the disk behind it, or remove the link: %w", err)
	}
	ok, err := writable(c.Root)
	if err != nil {
		return "", "", err
	}
	if ok {
		return c.Root, "", retire(standIn)
	}
	if !isDirectory(standIn) {
		if err := makeStandIn(c.Root, standIn); err != nil {
			return "", "", fmt.Errorf("%s cannot be written, and the state directory cannot stand in for it: %w", c.Root, err)
		}
	}
	return standIn, fmt.Sprintf("%s cannot be written (it is read-only). Running containers go on and are started again when they end, in memory (%s): "+
		"what they write from now on is lost at the next boot, and no image can be imported or pulled. Look at the disk, make it writable, "+
		"and start the daemon again", c.Root, standIn), nil
}

// retire removes a stand-in that is not needed any more. While a container still runs on it, it is only put out of the way.
func retire(standIn string) error {
	old := standIn + ".old"
	if err := detachBelow(standIn); err != nil {
		return err
	}
	for _, dir := range []string{standIn, old} {
		if _, err := os.Lstat(dir); err == nil && !mounted(dir) {
			if err := foreign.RemoveAll(dir); err != nil {
				return fmt.Errorf("cannot remove what stood in for a read-only root: %w", err)
			}
		}
	}
	if _, err := os.Lstat(standIn); err == nil {
		if err := os.Rename(standIn, old); err != nil {
			return fmt.Errorf("cannot put aside what stood in for a read-only root: %w", err)
		}
	}
	return nil
}

// mounted says whether the files below dir are part of a mounted file system (as an overlay's directories).
func mounted(dir string) bool {
	mounts, err := foreign.ReadKernel("/proc/self/mountinfo")
	return err != nil || strings.Contains(string(mounts), strings.TrimSuffix(dir, ".old")+"/")
}

func makeStandIn(root, standIn string) error {
	building := standIn + ".new"
	if err := errors.Join(detachBelow(building), foreign.RemoveAll(building)); err != nil {
		return err
	}
	if err := os.MkdirAll(building, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(root, e.Name()), filepath.Join(building, e.Name())
		switch {
		case !isDirectory(from), e.Name() == filepath.Base(root)+durable.AsideSuffix:
		case e.Name() == contentDir:
			err = os.Symlink(from, to)
		default:
			err = standInFor(from, to)
		}
		if err != nil {
			return err
		}
	}
	if err := foreign.RemoveAll(standIn); err != nil { // it is no directory
		return err
	}
	return os.Rename(building, standIn)
}

// standInFor stands in for one plugin's directory: its databases are copied. A snapshotter makes and removes directories beside the old
// ones, so each of those is a link.
func standInFor(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	databases, err := filepath.Glob(filepath.Join(from, "*.db"))
	if err != nil {
		return err
	}
	for _, db := range databases {
		if err := copyFile(db, filepath.Join(to, filepath.Base(db))); err != nil {
			return err
		}
	}
	old, err := os.ReadDir(filepath.Join(from, "snapshots"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := makeSnapshots(filepath.Join(to, "snapshots")); err != nil {
		return err
	}
	for _, e := range old {
		if err := os.Symlink(filepath.Join(from, "snapshots", e.Name()), filepath.Join(to, "snapshots", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// snapshotsSize bounds what containers can write into their root file systems meanwhile, as a part of the machine's memory.
const snapshotsSize = "25%"

// makeSnapshots makes a directory for snapshots. It is a file system of its own: what containers write lies in it, and shall not fill the
// state directory.
func makeSnapshots(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := tmpfs.Mount("snapshots", dir, 0, "mode=0700,size="+snapshotsSize); err != nil {
		return fmt.Errorf("containers' root file systems: %w", err)
	}
	return nil
}

// detachBelow unmounts what makeSnapshots has mounted below dir. The root file systems of containers that run keep hold of it.
func detachBelow(dir string) error {
	dir, err := filepath.EvalSymlinks(dir) // as the kernel lists it
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("cannot read the mounts: %w", err)
	}
	var errs []error
	for _, m := range mounts {
		errs = append(errs, tmpfs.Unmount(m.Mountpoint))
	}
	return errors.Join(errs...)
}

func copyFile(from, to string) (err error) {
	info, err := os.Lstat(from)
	if err != nil || !info.Mode().IsRegular() {
		return err // misshapen tells
	}
	src, err := foreign.Open(from)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // only read from
	dst, err := foreign.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
