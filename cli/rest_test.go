package cli

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestFileRegions(t *testing.T) {
	smaps := `00400000-012fe000 r-xp 00000000 fe:00 9994893                            /opt/solo pod/solopod
Size:              15352 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
012fe000-023ce000 r--p 00efe000 fe:00 9994893                            /opt/solo pod/solopod
Anonymous:             0 kB
023ce000-02471000 rw-p 01fce000 fe:00 9994893                            /opt/solo pod/solopod
Anonymous:             0 kB
02471000-024c5000 rw-p 00000000 00:00 0
Anonymous:           100 kB
3751b6800000-3751b7400000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
7f8345e40000-7f8345e48000 r--s 00000000 fe:00 655372                     /var/lib/solopod/containerd/meta.db
Private_Clean:         8 kB
Anonymous:             0 kB
7f8346000000-7f8346004000 r--p 001d0000 fe:00 8213                       /usr/lib/libc.so.6
Anonymous:            16 kB
7f8346100000-7f8346101000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd1b5f2000-7ffd1b5f4000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
`
	got, err := fileRegions(strings.NewReader(smaps))
	want := []region{{0x400000, 0x12fe000}, {0x12fe000, 0x23ce000}, {0x7f8345e40000, 0x7f8345e48000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %x, %v; want %x", got, err, want)
	}
	if _, err := fileRegions(strings.NewReader("x r-xp 0 0 0 /bin/x\n")); err == nil {
		t.Error("a range that is none was taken")
	}
}

// The program runs on with its own pages unmapped.
func TestUnmapProgram(t *testing.T) {
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if regions, err := fileRegions(f); err != nil || len(regions) == 0 {
		t.Errorf("there are %v, %v", regions, err)
	}
}
