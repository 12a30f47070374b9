// Package container does what one attempt of a container needs: its runtime spec and image, its creation and start, its log,
// its probes and hooks, and its end.
//
// Each method is one effect of runner/pod/plan. It may take long, or never return where something outside hangs: it holds
// nothing meanwhile that another pod needs.
package container

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/allocate/device"
	"github.com/solopod/solopod/runner/apparmor"
	"github.com/solopod/solopod/runner/cgroup"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/layout"
	"github.com/solopod/solopod/runner/logs"
	"github.com/solopod/solopod/runner/logs/logfile"
	"github.com/solopod/solopod/runner/rescue"
	"github.com/solopod/solopod/runner/sandbox"
	"github.com/solopod/solopod/runner/session"
	"github.com/solopod/solopod/runner/volume"
)

// Engine makes containers and ends them.
type Engine interface {
	Create(ctx context.Context, r engine.CreateRequest) (pid uint32, err error)
	Start(ctx context.Context, id string) error
	Kill(ctx context.Context, id string, signal uint32, all bool) error
	Get(ctx context.Context, id string) (engine.Container, error)
	Delete(ctx context.Context, id string) error
}

// Changer changes what runs, and looks into images.
type Changer interface {
	session.Executor
	Update(ctx context.Context, id string, r *specs.LinuxResources) error
	CloseStdin(ctx context.Context, id string) error
	// ReadFiles reads files of an image; nil stands for one that it does not have.
	ReadFiles(ctx context.Context, image engine.Image, names ...string) ([][]byte, error)
	// CopyDirs copies directories of an image to empty ones of the host; what the image does not have stays empty.
	CopyDirs(ctx context.Context, image engine.Image, dirs map[string]string) error
}

// KillWatch learns of processes that the kernel killed for memory. Package oom implements it.
type KillWatch interface {
	// Watch calls report with the cgroup's kill count after each kill, until stop is called.
	Watch(cgroupPath string, report func(kills uint64)) (stop func(), err error)
	// Kills reads the cgroup's kill count.
	Kills(cgroupPath string) (uint64, error)
	// Gone is how many kills are known of a container whose cgroup is gone. Killed: something sent its main process SIGKILL; what tells
	// whether that was the kernel is waited for, for some seconds at most.
	Gone(ctx context.Context, cgroupPath string, killed bool) uint64
}

// Config says what containers are made of.
type Config struct {
	Dirs     layout.Dirs
	Instance string // tells daemons of one machine apart
	Engine   Engine
	Changer  Changer
	Images   sandbox.Images
	// Current is an error that is engine.ErrNotFound when an image that is present must be pulled all the same; nil: none must.
	Current   func(ctx context.Context, pod *v1.Pod, ref string, present engine.Image, known policy.Known) error
	Sandboxes *sandbox.Sandboxes
	Cgroups   *cgroup.Manager
	Volumes   volume.Manager
	Devices   *device.Table
	Kills     KillWatch
	Keeper    logs.Keeper
	Limits    logfile.Limits
	// Slots bounds how many containers the runtime creates at the same time.
	Slots *Slots
	// Memory is the machine's, in bytes.
	Memory int64
	// SingleProcessOOMKill: the kernel kills one process for memory and not, with cgroup v2, its whole container.
	SingleProcessOOMKill bool
	// SeccompDefault: a container that names no seccomp profile gets RuntimeDefault.
	SeccompDefault bool
	RuntimeClasses map[string]string
	AppArmor       *apparmor.AppArmor
	// Answered is told of each answer of a probe.
	Answered func(kind string, pod *v1.Pod, container string, took time.Duration, err error)
	// Services are the variables that tell a pod where its services are, as name=value; nil means none.
	Services func(ctx context.Context, pod *v1.Pod) []string
	// LogComplete is called when an ended container's log is complete.
	LogComplete func()
}

// Containers makes those of all pods. It is safe for concurrent use. Detach ends it.
type Containers struct {
	Config
	outputs  *outputs
	accounts sync.Map // image chain id -> accounts
	known    atomic.Int32
}

// New makes nothing yet. ctx bounds the writing of what the log's disk did not take.
func New(ctx context.Context, c Config) *Containers {
	out := &Containers{Config: c, outputs: newOutputs(&c)}
	go out.outputs.spool.Run(ctx) // it may be stuck in a disk, so that nobody waits for it
	return out
}

// Labels of containers, beside Kubernetes' own.
const (
	LabelRoot     = "io.solopod.root" // which of several daemons it belongs to
	LabelRevision = "io.solopod.revision"
	LabelAttempt  = "io.solopod.attempt"

	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"
)

// closeLimit bounds the end of a container's input.
const closeLimit = 10 * time.Second

// CloseStdin ends the input of a container for ever, soon; failed is told if it cannot be.
func (c *Containers) CloseStdin(ctx context.Context, id string, failed func(error)) {
	p := c.outputs.pump(id)
	if p == nil {
		return
	}
	go func() {
		limited, cancel := context.WithTimeout(ctx, closeLimit)
		defer cancel()
		err := rescue.Do("close a container's input", func() error {
			if err := p.CloseStdin(); err != nil {
				return err
			}
			return c.Changer.CloseStdin(limited, id)
		})
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
	}()
}

// Detach lets go of all that belongs to this process; the containers run on. It returns with ctx, and a moment, at the latest.
func (c *Containers) Detach(ctx context.Context) { c.outputs.detach(ctx) }
