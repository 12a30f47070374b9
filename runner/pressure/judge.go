package pressure

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/eviction/threshold"
)

// leastPIDs is the part of the processes there can be that must be left for PIDPressure not to hold, where no threshold says otherwise: the
// kubelet has none by default, and a machine without processes is of no use.
const leastPIDs = 0.05

// finding is what was found of one condition.
type finding struct {
	kind            v1.NodeConditionType
	status          v1.ConditionStatus
	reason, message string
}

// words are the kubelet's for a condition.
type words struct {
	kind                 v1.NodeConditionType
	short, good, unknown string
}

var (
	memoryPressure     = words{v1.NodeMemoryPressure, "NodeHasInsufficientMemory", "NodeHasSufficientMemory", "MemoryUnknown"}
	diskPressure       = words{v1.NodeDiskPressure, "NodeHasDiskPressure", "NodeHasNoDiskPressure", "DiskUnknown"}
	pidPressure        = words{v1.NodePIDPressure, "NodeHasInsufficientPID", "NodeHasSufficientPID", "ProcessesUnknown"}
	networkUnavailable = words{v1.NodeNetworkUnavailable, "NetworkUnusable", "NetworkReady", "NetworkUnknown"}
)

// is makes the finding: short is the message where there is too little, enough where there is not.
func (w words) is(short bool, tooLittle, enough string) finding {
	if short {
		return finding{w.kind, v1.ConditionTrue, w.short, tooLittle}
	}
	return finding{w.kind, v1.ConditionFalse, w.good, enough}
}

// crossed is the threshold of a signal that is crossed, the largest of them; ok is false where none is.
func crossed(list []threshold.Threshold, s threshold.Signal, l threshold.Level) (worst threshold.Threshold, ok bool) {
	for _, t := range list {
		if t.Signal == s && t.Crossed(l, false) && (!ok || t.Least.Of(l.Capacity) > worst.Least.Of(l.Capacity)) {
			worst, ok = t, true
		}
	}
	return worst, ok
}

func judgeMemory(list []threshold.Threshold, total, available uint64) finding {
	t, short := crossed(list, threshold.Memory, threshold.Level{Available: available, Capacity: total})
	return memoryPressure.is(short,
		fmt.Sprintf("%s of %s are available, less than %s", mebi(available), mebi(total), t.Least.Text(t.Signal)), "there is enough memory")
}

// disk is one that is looked at, with its signals.
type disk struct {
	what, dir    string
	space, files threshold.Signal
}

func judgeDisk(list []threshold.Threshold, of disk, d Disk) finding {
	if t, short := crossed(list, of.space, threshold.Level{Available: d.Available, Capacity: d.Size}); short {
		return diskPressure.is(true, fmt.Sprintf("%s (%s): %s of %s are available, less than %s", of.what, of.dir, mebi(d.Available), mebi(d.Size), t.Least.Text(t.Signal)), "")
	}
	if t, short := crossed(list, of.files, threshold.Level{Available: d.FilesFree, Capacity: d.Files}); short {
		return diskPressure.is(true, fmt.Sprintf("%s (%s): it can have %d files more of %d, less than %s", of.what, of.dir, d.FilesFree, d.Files, t.Least.Text(t.Signal)), "")
	}
	return diskPressure.is(false, "", "there is room on the disks")
}

func judgeProcesses(list []threshold.Threshold, count, most uint64) finding {
	if !slices.ContainsFunc(list, func(t threshold.Threshold) bool { return t.Signal == threshold.Processes }) {
		list = []threshold.Threshold{{Signal: threshold.Processes, Least: threshold.Amount{Part: leastPIDs}}}
	}
	t, short := crossed(list, threshold.Processes, threshold.Level{Available: most - min(count, most), Capacity: most})
	return pidPressure.is(short, fmt.Sprintf("there are %d processes and threads of %d, and less than %s are left", count, most, t.Least.Text(t.Signal)), "there can be more processes")
}

func judgeNetwork(err error) finding {
	if err != nil {
		return networkUnavailable.is(true, err.Error(), "")
	}
	return networkUnavailable.is(false, "", "pods can have a network")
}

// severity orders findings: what is wrong comes before what is not known.
func severity(f finding) int {
	switch f.status {
	case v1.ConditionTrue:
		return 2
	case v1.ConditionUnknown:
		return 1
	default:
		return 0
	}
}

func mebi(n uint64) string { return fmt.Sprintf("%dMi", n>>20) }
