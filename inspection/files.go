package inspection

import "fmt"

const onlyRoot = "chown root:root it, and chmod go-w it; then look at what may have been changed"

var fileChecks = []check{
	{
		"file-writable", Critical, "others can write what Solopod trusts, and are root by it", onlyRoot,
		paths(func(p Path) bool { return p.Role != Control && p.Role != Above && p.writable() }),
	},
	{
		"file-owner", Critical, "what Solopod trusts belongs to another user, who is root by it", onlyRoot,
		paths(func(p Path) bool { return p.Role != Above && p.UID != 0 }),
	},
	{
		"parent-writable", Critical, "others can replace what Solopod trusts, as a directory above it is theirs",
		"chown root it and chmod go-w it, or use a directory elsewhere",
		paths(func(p Path) bool { return p.Role == Above && (p.UID != 0 || p.writable() && !p.Sticky) }),
	},
	{
		"file-open", Warning, "others can read or enter what is root's alone", "chmod go= it",
		paths(func(p Path) bool { return p.Role == Private && p.readable() }),
	},
	{
		"state-on-disk", Warning, "the state directory is on a disk: what must end with a reboot, Secrets of environments too, stays there", "use a directory on a tmpfs, as /run",
		func(f *Facts) []string {
			if !f.OnDisk {
				return nil
			}
			return []string{f.Settings.Text("state")}
		},
	},
	{
		"socket-open", Critical, "others can use the socket, and are root by it", "chmod 660 it, and find out who has changed it: Solopod makes it so",
		paths(func(p Path) bool { return p.Role == Control && (p.Mode&0o007 != 0 || p.GID != 0 && p.GID != p.Group) }),
	},
	{
		"socket-group", Info, "members of socketGroup are root by the socket", "keep in it only who may be root",
		func(f *Facts) []string { return f.SocketGroup },
	},
}

// writable says whether others than root can write to it. A group with root's number is root's.
func (p Path) writable() bool {
	return p.Mode&0o002 != 0 || p.Mode&0o020 != 0 && p.GID != 0 && p.Role != Open
}

// readable says whether others than root can read or enter it.
func (p Path) readable() bool { return p.Mode&0o005 != 0 || p.Mode&0o050 != 0 && p.GID != 0 }

func (p Path) String() string {
	return fmt.Sprintf("%s %s (mode %04o, uid %d, gid %d)", p.What, p.Name, p.Mode, p.UID, p.GID)
}

// paths judges each path.
func paths(bad func(Path) bool) func(*Facts) []string {
	return func(f *Facts) (out []string) {
		for _, p := range f.Paths {
			if bad(p) {
				out = append(out, p.String())
			}
		}
		return out
	}
}
