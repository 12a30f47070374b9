package engine

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/solopod/solopod/runner/seal"
)

// A container that is not even begun needs no key: it would stay, with all that it opens, for as long as the daemon runs.
func TestKeyOfWhatIsNotBegun(t *testing.T) {
	conn, err := grpc.NewClient("unix://"+filepath.Join(t.TempDir(), "nobody"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := containerd.NewWithConn(conn, containerd.WithDefaultRuntime("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	store := seal.NewStore(filepath.Join(t.TempDir(), "seal"), "/nowhere")
	t.Cleanup(func() {
		if err := store.Drop(); err != nil {
			t.Error(err)
		}
	})
	c := &Containers{&connection{client: client, sealed: seal.NewLedger(store)}}
	gone := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	_, err = c.Create(ctx, CreateRequest{
		ID: "id", Labels: map[string]string{}, Shown: &seal.Process{}, Spec: &specs.Spec{Process: &specs.Process{Env: []string{"A=hunter2"}}},
	})
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := store.Existing(); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("the key is there: %v", err)
	}
}
