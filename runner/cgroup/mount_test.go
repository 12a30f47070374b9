package cgroup

import (
	"strings"
	"testing"
)

func TestSharedOptions(t *testing.T) {
	const v2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
	for name, c := range map[string]struct{ mounts, want string }{
		"systemd's":      {"24 1 0:22 / /sys rw - sysfs sysfs rw\n" + v2 + "rw,nsdelegate,memory_recursiveprot\n", "nsdelegate,memory_recursiveprot"},
		"one":            {v2 + "rw,memory_recursiveprot,other\n", "memory_recursiveprot"},
		"others":         {v2 + "rw,favordynmods,memory_hugetlb_accounting,pids_localevents\n", "favordynmods,memory_hugetlb_accounting,pids_localevents"},
		"none":           {v2 + "rw\n", ""},
		"v1":             {"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,nsdelegate\n", ""},
		"mounted over":   {v2 + "rw,nsdelegate\n" + v2 + "rw,memory_recursiveprot", "memory_recursiveprot"},
		"another point":  {strings.Replace(v2, "/sys/fs/cgroup ", "/sys/fs/cgroup/unified ", 1) + "rw,nsdelegate\n", ""},
		"none at all":    {"", ""},
		"a torn line":    {"35 24 0:30 / /sys/fs/cgroup rw - cgroup2\n", ""},
		"without a dash": {"35 24 0:30 / /sys/fs/cgroup rw\n", ""},
	} {
		if got := strings.Join(sharedOptions(strings.NewReader(c.mounts), "/sys/fs/cgroup"), ","); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
