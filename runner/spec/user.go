package spec

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
)

// Wanted is the identity that manifest and image ask for: names may need the image's /etc/passwd and /etc/group.
type Wanted struct {
	User, Group string // a number or a name; empty group means the user's own
	// Groups are further groups, beside those that the image gives the user; with OnlyGroups instead of them.
	Groups     []int64
	OnlyGroups bool
}

// WantedUser combines the manifest's numbers with the image's USER.
func WantedUser(pod *v1.PodSecurityContext, container *v1.SecurityContext, image string) Wanted {
	w := Wanted{}
	w.User, w.Group, _ = strings.Cut(image, ":")
	user, group := pod.RunAsUser, pod.RunAsGroup
	if container != nil && container.RunAsUser != nil {
		user = container.RunAsUser
	}
	if container != nil && container.RunAsGroup != nil {
		group = container.RunAsGroup
	}
	if user != nil {
		w.User, w.Group = strconv.FormatInt(*user, 10), ""
	}
	if group != nil {
		w.Group = strconv.FormatInt(*group, 10)
	}
	if w.User == "" {
		w.User = "0"
	}
	w.Groups = slices.Clone(pod.SupplementalGroups)
	if pod.FSGroup != nil {
		w.Groups = append(w.Groups, *pod.FSGroup)
	}
	w.OnlyGroups = pod.SupplementalGroupsPolicy != nil && *pod.SupplementalGroupsPolicy == v1.SupplementalGroupsPolicyStrict
	return w
}

// Resolve looks the identity up; passwd and group are the image's files, or nil when it has none. A number need not be
// listed; a name must be. The user's further groups are those that list it.
func (w Wanted) Resolve(passwd, group io.Reader) (specs.User, error) {
	out := specs.User{}
	name, found := "", false
	id, numberErr := strconv.ParseUint(w.User, 10, 31)
	eachLine(passwd, func(f []string) bool {
		if len(f) < 4 || f[0] != w.User && (numberErr != nil || f[2] != w.User) {
			return true
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 31)
		gid, err2 := strconv.ParseUint(f[3], 10, 31)
		if err1 != nil || err2 != nil {
			return true
		}
		name, found = f[0], true
		out.UID, out.GID = uint32(uid), uint32(gid)
		return false
	})
	if !found {
		if numberErr != nil {
			return out, fmt.Errorf("the image has no user named %q; set securityContext.runAsUser to a number", w.User)
		}
		out.UID = uint32(id)
	}
	return out, w.resolveGroups(&out, name, group)
}

func (w Wanted) resolveGroups(out *specs.User, user string, group io.Reader) error {
	wanted, numberErr := strconv.ParseUint(w.Group, 10, 31)
	found := w.Group == "" || numberErr == nil
	if w.Group != "" && numberErr == nil {
		out.GID = uint32(wanted)
	}
	eachLine(group, func(f []string) bool {
		if len(f) < 3 {
			return true
		}
		gid, err := strconv.ParseUint(f[2], 10, 31)
		if err != nil {
			return true
		}
		if w.Group != "" && numberErr != nil && f[0] == w.Group {
			out.GID, found = uint32(gid), true
		}
		if len(f) > 3 && user != "" && !w.OnlyGroups && slices.Contains(strings.Split(f[3], ","), user) {
			out.AdditionalGids = append(out.AdditionalGids, uint32(gid))
		}
		return true
	})
	if !found {
		return fmt.Errorf("the image has no group named %q; set securityContext.runAsGroup to a number", w.Group)
	}
	if !slices.Contains(out.AdditionalGids, out.GID) {
		out.AdditionalGids = append([]uint32{out.GID}, out.AdditionalGids...)
	}
	for _, g := range w.Groups {
		if !slices.Contains(out.AdditionalGids, uint32(g)) {
			out.AdditionalGids = append(out.AdditionalGids, uint32(g))
		}
	}
	return nil
}

// eachLine walks a colon-separated file until use returns false.
func eachLine(r io.Reader, use func(fields []string) bool) {
	if r == nil {
		return
	}
	for sc := bufio.NewScanner(r); sc.Scan(); {
		if line := strings.TrimSpace(sc.Text()); line != "" && line[0] != '#' && !use(strings.Split(line, ":")) {
			return
		}
	}
}
