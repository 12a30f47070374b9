package inspection

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// hole is a known one of a runtime.
type hole struct {
	names string
	// mended are the first versions without it, one of each branch that has got one; branches after the last never had it.
	mended []string
}

// holes of runc that lead out of a container (its security advisories on GitHub).
var runcHoles = []hole{
	{"CVE-2023-27561, CVE-2023-28642", []string{"1.1.5"}},
	{"CVE-2024-21626", []string{"1.1.12"}},
	{"CVE-2024-45310", []string{"1.1.14", "1.2.0-rc.3"}},
	{"CVE-2025-31133, CVE-2025-52565, CVE-2025-52881", []string{"1.2.8", "1.3.3", "1.4.0-rc.3"}},
}

var runtimeChecks = []check{
	{
		"runtime-holes", Warning, "the OCI runtime has known ways out of containers",
		"update it; distributions also mend older versions without another number: compare with the changelog (apt changelog runc), then --ignore runtime-holes",
		func(f *Facts) (out []string) {
			for _, r := range f.Runtimes {
				if r.Program != "runc" {
					continue
				}
				if open := openHoles(r.Version); len(open) > 0 {
					out = append(out, fmt.Sprintf("%s %s: %s", r.Name, r.Version, strings.Join(open, ", ")))
				}
			}
			return out
		},
	},
	{
		"runtime-unknown", Info, "an OCI runtime does not tell its version, or it is not one whose holes are known here", "look up its advisories",
		func(f *Facts) (out []string) {
			for _, r := range f.Runtimes {
				if _, err := version.ParseSemantic(r.Version); r.Program != "runc" || err != nil {
					out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Name, r.Program, r.Version)))
				}
			}
			return out
		},
	},
}

// openHoles are those that a version of runc has; none of what is no version.
func openHoles(text string) (out []string) {
	v, err := version.ParseSemantic(text)
	if err != nil {
		return nil
	}
	for _, h := range runcHoles {
		if !h.isMended(v) {
			out = append(out, h.names)
		}
	}
	return out
}

func (h hole) isMended(v *version.Version) bool {
	last := version.MustParseSemantic(h.mended[len(h.mended)-1])
	for _, text := range h.mended {
		m := version.MustParseSemantic(text)
		if m.Major() == v.Major() && m.Minor() == v.Minor() {
			return v.AtLeast(m)
		}
	}
	return v.AtLeast(last)
}

// parseRuntime reads what runc or crun say with --version: "runc version 1.1.5+ds1", "crun version 1.21".
func parseRuntime(name, said string) Runtime {
	r := Runtime{Name: name}
	line, _, _ := strings.Cut(said, "\n")
	fields := strings.Fields(line)
	if len(fields) >= 3 && fields[1] == "version" && len(line) < 200 {
		r.Program, r.Version = fields[0], fields[2]
	}
	return r
}
