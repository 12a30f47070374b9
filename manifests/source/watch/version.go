package watch

import (
	"io/fs"
	"syscall"
	"time"
)

// Version tells one state of a file from another. Versions are compared with ==.
type Version struct {
	Device, Inode uint64
	// Size is in bytes.
	Size int64
	// Modified and Changed are nanoseconds since 1970. Changed moves with whatever happens to the file, its owner and mode
	// included, and nobody can set it.
	Modified, Changed int64
}

// identity is which file or directory it is, whatever it holds.
type identity struct{ device, inode uint64 }

func (v Version) identity() identity { return identity{v.Device, v.Inode} }

// renamed says whether later can be v under another name. An inode alone says little: that of a file that was removed is soon
// another's.
func (v Version) renamed(later Version) bool {
	return v.identity() == later.identity() && v.Size == later.Size && v.Modified == later.Modified
}

// VersionOf makes a Version of what stat says.
func VersionOf(info fs.FileInfo) Version {
	v := Version{Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.Device, v.Inode, v.Changed = st.Dev, st.Ino, time.Unix(st.Ctim.Unix()).UnixNano()
	}
	return v
}

func identityOf(info fs.FileInfo) identity { return VersionOf(info).identity() }
