// Package intake takes images in that nobody vouches for: archives and layers may be made to fill the disk, the memory or the time of the
// machine. What they claim is looked at before it is written, and what they bring is counted while it comes.
package intake

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// ErrRefused says that an image asks for more than any image needs, or for what none may: it is the image's fault, and lasts.
var ErrRefused = errors.New("refused")

// refuse makes an ErrRefused that reads as the text alone.
func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func (r *refusal) Is(target error) bool { return target == ErrRefused }

// Plain is the refusal in an error of containerd's code, which tells of its own steps; another error is as it is.
func Plain(err error) error {
	if r := new(refusal); errors.As(err, &r) {
		return r
	}
	return err
}

// What images and archives may have. Real ones stay below a tenth of each.
const (
	// maxJSON is for an index, a manifest or a configuration, in bytes: registries take 4 MiB.
	maxJSON = 4 << 20
	// maxEntries is for the files of an archive: one of many images has some thousands.
	maxEntries = 100_000
	// maxName is for a file's name in an archive, in bytes: they are digests.
	maxName = 1024
	// maxNames is for all of them, in bytes.
	maxNames = 16 << 20
	// maxDepth is how deep indexes may name indexes. One for the platforms is usual, one above it for a list of images is known.
	maxDepth = 4
	// maxDescriptors is for all that an archive's indexes and manifests name.
	maxDescriptors = 10_000
	// maxLayers is what overlayfs takes (fs/overlayfs/params.c, OVL_MAX_STACK).
	maxLayers = 500
	// maxRead is for what of an archive's indexes, manifests and configurations is read, each time that it is.
	maxRead = 32 << 20
	// maxFiles is for what the layers of one image bring.
	maxFiles = 5_000_000
)

// maxWindow bounds the memory that unpacking zstd takes, in bytes: it is what zstd(1) takes without being told to take more.
const maxWindow = 128 << 20

// What is unpacked may be maxRatio times as large as what is packed, and fewBytes beside it. Compressed programs are 2 to 5 times as
// large, logs 20 times; only one value over and over is more, and of that no image has much.
const (
	maxRatio = 500
	fewBytes = 256 << 20
)

// Limits bound what the layers of an image unpack to.
type Limits struct {
	// MaxSize is in bytes. Zero leaves it to the room on the disk, and to how much larger than the packed layer it is.
	MaxSize int64
	// Disk is what they are unpacked to.
	Disk Disk
}

// Disk is a directory of the file system that images are kept on; empty when it is not known.
type Disk string

// What is left free on the disk for all else that writes to it: a twentieth, and no more than this.
const (
	reserveShare = 20
	mostReserve  = 1 << 30
)

// room is how many bytes and files may be written.
func (d Disk) room() (bytes, files int64) {
	var fs unix.Statfs_t
	if d == "" || unix.Statfs(string(d), &fs) != nil {
		return math.MaxInt64, math.MaxInt64
	}
	block := int64(fs.Bsize) //nolint:unconvert // an int32 on some machines
	reserve := min(int64(fs.Blocks)*block/reserveShare, mostReserve)
	bytes, files = int64(fs.Bavail)*block-reserve, math.MaxInt64
	if fs.Files > 0 { // some make files as they need them
		files = int64(fs.Ffree) - int64(fs.Files)/reserveShare
	}
	return bytes, files
}

// Take says whether so much more may be written. The error is unix.ENOSPC: it passes.
func (d Disk) Take(bytes, files int64) error {
	haveBytes, haveFiles := d.room()
	switch {
	case bytes > haveBytes:
		return fmt.Errorf("%w: it needs %s more, and %s are left below %s beside what is kept free; remove images or files, or add a disk",
			unix.ENOSPC, size(bytes), size(max(haveBytes, 0)), string(d))
	case files > haveFiles:
		return fmt.Errorf("%w: it needs %d files more, and %d are left below %s beside what is kept free; remove images or files", unix.ENOSPC, files, max(haveFiles, 0), string(d))
	}
	return nil
}

// size is a number of bytes for people.
func size(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// sum adds without overflow: archives may claim files of 8 EiB.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
