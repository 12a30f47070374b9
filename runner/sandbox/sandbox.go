// Package sandbox makes what a pod's containers share, and takes it away again: namespaces, an address, the pod's cgroup,
// /dev/shm, /etc/hosts and its like, volumes, and what pods compete for.
//
// Each method is one effect of runner/pod/plan. It may take long, or never return where something outside hangs: it holds
// nothing meanwhile that another pod needs. What it leaves half done is cleared by Clear, which can be repeated.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/allocate"
	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/listener"
	"github.com/solopod/solopod/runner/namespace"
	"github.com/solopod/solopod/runner/network"
	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/resolver"
	"github.com/solopod/solopod/runner/volume"
)

// Images are the images that are present.
type Images interface {
	// Get returns a ready image, or engine.ErrNotFound.
	Get(ctx context.Context, ref string) (engine.Image, error)
}

// Engine mounts images, and knows what containers have written.
type Engine interface {
	MountImage(ctx context.Context, image engine.Image, uid, name, target string, ids *specs.LinuxIDMapping) error
	// ReleaseImages lets go of the images that were mounted for a pod.
	ReleaseImages(ctx context.Context, uid string) error
	// Usage is what a container has written into its root file system.
	Usage(ctx context.Context, id string) (foreign.Space, error)
}

// Config says what sandboxes are made of.
type Config struct {
	Dirs    layout.Dirs
	Network *network.Network
	Cgroups *cgroup.Manager
	Volumes volume.Manager
	Claims  *allocate.Claims
	Images  Images
	// Current is an error that is engine.ErrNotFound when an image that is present must be pulled all the same; nil: none must.
	Current func(ctx context.Context, pod *v1.Pod, ref string, present engine.Image, known policy.Known) error
	Engine  Engine
	// Resolver has the machine's resolver configuration.
	Resolver *resolver.Resolver
	// ClusterDomain ends the full names of pods that have a subdomain.
	ClusterDomain string
	// Warn tells of a pod that runs, and lacks something.
	Warn func(pod *v1.Pod, reason, message string)
	// PodPids bounds the number of processes of a pod; zero means no bound.
	PodPids int64
	// RuntimeClasses: runtimeClassName -> OCI runtime.
	RuntimeClasses map[string]string
	// Admit says why the pod must not begin on this machine; nil admits all.
	Admit func(pod *v1.Pod) error
	// Freed is called when a pod has given back what others may wait for.
	Freed func()
}

// Sandboxes makes those of all pods. It is safe for concurrent use.
type Sandboxes struct {
	Config
	// limits are those that pods' cgroups have, by UID, as Limit identifies them.
	limits    sync.Map
	listeners listener.Listeners
}

// New makes nothing yet.
func New(c Config) *Sandboxes { return &Sandboxes{Config: c} }

// Keep notes what a pod of an earlier run has that no other can have, until its sandbox was looked at: before any other pod may
// ask for it.
func (s *Sandboxes) Keep(pod *v1.Pod, g state.Grant, net *state.Attachment) {
	if net != nil && !pod.Spec.HostNetwork {
		s.Network.Adopt(string(pod.UID), attachment(net))
		s.Network.Know(s.networkPod(pod))
	}
	if err := s.Claims.Adopt(pod, grant(g)); err != nil {
		slog.Warn("two pods of an earlier run have the same", "pod", manifests.Key(pod), "err", err)
	}
}

// KeepName notes that what is left of a pod without a record has the pod's name, if that is known: no other pod of that name begins
// before it is gone.
func KeepName(dirs layout.Dirs, claims *allocate.Claims, uid string) error {
	const most = 1 << 10 // the longest names, with room
	data, err := durable.ReadFile(dirs.NameFile(uid), most)
	if err != nil {
		return err
	}
	namespace, name, ok := strings.Cut(string(data), "/")
	if !ok {
		return fmt.Errorf("%s: %q is no name of a pod", dirs.NameFile(uid), data)
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)}}
	return claims.Adopt(pod, allocate.Grant{})
}

// Find looks at what an earlier run left of a pod's sandbox, and takes it over where it is complete.
func (s *Sandboxes) Find(ctx context.Context, w plan.FindSandbox) state.SandboxFound {
	pod, uid := w.Pod, string(w.Pod.UID)
	_, pinned := namespace.Pinned(s.Dirs.Namespaces(uid), share(pod, w.Grant))
	if !w.SameBoot || !pinned || w.Network == nil {
		return state.SandboxFound{}
	}
	if err := s.mendFiles(ctx, pod, w.Network.IPs); err != nil {
		slog.Warn("cannot mend a pod's files; it is made anew", "pod", manifests.Key(pod), "err", err)
		return state.SandboxFound{}
	}
	if err := s.Claims.Adopt(pod, grant(w.Grant)); err != nil {
		slog.Warn("a pod that runs has something that it could not get now", "pod", manifests.Key(pod), "err", err)
	}
	if !pod.Spec.HostNetwork {
		s.Network.Adopt(uid, attachment(w.Network))
		s.Network.Know(s.networkPod(pod))
	}
	limits := s.Cgroups.PodResources(pod, s.PodPids)
	if err := s.Cgroups.Adopt(ctx, uid, manifests.QOSClass(pod), limits); err != nil {
		slog.Warn("cannot take over a pod's cgroup", "pod", manifests.Key(pod), "err", err)
	}
	return state.SandboxFound{Complete: true, Limits: state.Hash(limits)}
}

// Claim takes what no other pod can have at the same time.
func (s *Sandboxes) Claim(ctx context.Context, w plan.Claim) state.Claimed {
	got, err := s.Claims.Take(ctx, w.Pod, grant(w.Had))
	if err != nil {
		return state.Claimed{Problem: claimProblem(err)}
	}
	if problem := listens(ctx, &s.listeners, w.Pod); problem.Failed() {
		if s.Claims.Release(string(w.Pod.UID)) {
			s.Freed()
		}
		return state.Claimed{Problem: problem, Released: true}
	}
	return state.Claimed{Grant: state.Grant{Devices: got.Devices, FirstID: got.FirstID, SELinuxLevel: got.SELinuxLevel}}
}

// listens names a program of the machine that listens on one of the pod's host ports: forwarding would take away what is sent to it, and a
// pod with the host's network could not listen there. Nobody tells when it ends, so the claim is tried again.
func listens(ctx context.Context, all *listener.Listeners, pod *v1.Pod) state.Problem {
	var ports []listener.Port
	for _, p := range state.HostPorts(pod) {
		port := listener.Port{Number: uint16(p.HostPort), Protocol: p.Protocol, Bound: pod.Spec.HostNetwork}
		if addr, err := netip.ParseAddr(p.HostIP); err == nil {
			port.Addr = addr.Unmap()
		}
		ports = append(ports, port)
	}
	err := all.Find(ctx, ports)
	var taken *listener.Taken
	switch {
	case err == nil:
	case errors.As(err, &taken):
		return state.Problem{Reason: "HostPortConflict", Message: err.Error() +
			"; stop it, or give the port another hostPort, or a hostIP on which it does not listen; the pod starts when the port is free"}
	default: // what is not known bars no pod
		slog.Warn("host ports of a pod may be those of a program of this machine", "pod", manifests.Key(pod), "err", err)
	}
	return state.Problem{}
}

func claimProblem(err error) state.Problem {
	p := state.Problem{Reason: "FailedCreatePodSandBox", Message: err.Error()}
	var full *allocate.NoRoom
	switch {
	case errors.Is(err, allocate.ErrNameTaken):
		p.Reason, p.Claim = state.ReasonNameTaken, true
	case errors.Is(err, allocate.ErrPortTaken):
		p.Reason, p.Claim = "HostPortConflict", true
	case errors.Is(err, device.ErrTaken):
		p.Reason, p.Claim = "UnexpectedAdmissionError", true // the kubelet's, when devices are short
	case errors.Is(err, allocate.ErrNoIDs):
		p.Claim = true
	case errors.As(err, &full):
		p.Reason, p.Message, p.Claim, p.NoRoom = full.Reason(), "Pod was rejected: "+err.Error(), true, true
	}
	return p
}

func grant(g state.Grant) allocate.Grant {
	return allocate.Grant{Devices: g.Devices, FirstID: g.FirstID, SELinuxLevel: g.SELinuxLevel}
}

func attachment(a *state.Attachment) network.Attachment {
	out := network.Attachment{IPs: a.IPs, ByCNI: a.ByCNI}
	for _, p := range a.Ports {
		out.Ports = append(out.Ports, network.Port(p))
	}
	return out
}

// share says which namespaces the pod shares with the host, and its containers with each other.
func share(pod *v1.Pod, g state.Grant) namespace.Share {
	spec := &pod.Spec
	return namespace.Share{
		HostNetwork: spec.HostNetwork, HostIPC: spec.HostIPC, Processes: spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace,
		Users: IDMapping(g),
	}
}

// IDMapping is how the pod's users and groups appear on the host; nil where they are the host's.
func IDMapping(g state.Grant) *specs.LinuxIDMapping {
	if g.FirstID == 0 {
		return nil
	}
	return &specs.LinuxIDMapping{ContainerID: 0, HostID: g.FirstID, Size: manifests.IDsPerPod}
}

// Namespaces are where a pod's namespaces are pinned.
func (s *Sandboxes) Namespaces(pod *v1.Pod, g state.Grant) namespace.Namespaces {
	return namespace.Paths(s.Dirs.Namespaces(string(pod.UID)), share(pod, g))
}

// Cgroup is the path of the pod's cgroup.
func (s *Sandboxes) Cgroup(pod *v1.Pod) string {
	return s.Cgroups.Pod(manifests.QOSClass(pod), string(pod.UID))
}

// Limit gives the pod's cgroup the limits that its manifest has as a whole, and returns what identifies them.
func (s *Sandboxes) Limit(ctx context.Context, pod *v1.Pod) (limits string, err error) {
	if s.Claims.Resize(pod) { // also where the cgroup stays as it is
		s.Freed()
	}
	resources := s.Cgroups.PodResources(pod, s.PodPids)
	limits = state.Hash(resources)
	if has, ok := s.limits.Load(pod.UID); ok && has == limits {
		return limits, nil
	}
	s.limits.Delete(pod.UID) // until it is done nobody knows
	if _, err := s.Cgroups.Create(ctx, string(pod.UID), manifests.QOSClass(pod), resources); err != nil {
		return "", err
	}
	s.limits.Store(pod.UID, limits)
	return limits, nil
}

// SetLimits is Limit for an edit of the pod as a whole.
func (s *Sandboxes) SetLimits(ctx context.Context, w plan.SetLimits) state.LimitsSet {
	limits, err := s.Limit(ctx, w.Pod)
	if err != nil {
		return state.LimitsSet{Problem: state.Problem{Reason: "FailedResize", Message: err.Error()}}
	}
	return state.LimitsSet{Limits: limits, Resized: w.Resized}
}
