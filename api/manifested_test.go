package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/hosts"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload"
	"github.com/solopod/solopod/workload/history"
)

// noPods is a runner that runs none.
type noPods struct{}

func (noPods) Apply(manifests.Snapshot)                {}
func (noPods) Pods() []*v1.Pod                         { return nil }
func (noPods) Standings() map[types.UID]state.Standing { return nil }
func (noPods) Subscribe() (<-chan struct{}, func())    { return nil, func() {} }

const keptObjects = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {k: v}
---
apiVersion: v1
kind: Secret
metadata: {name: password, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{stringData: {k: very-hidden}}"}}
stringData: {k: very-hidden}
`

// manifested serves the objects of a file by the real paths, and returns how its content is changed.
func manifested(t *testing.T) (s *Server, put func(replicas int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	workloads := workload.New(noPods{}, filepath.Join(t.TempDir(), "workloads.json"), nil, history.Settings{}, func(string, string, string, string, string, string) {})
	ended := make(chan error, 1)
	go func() { ended <- workloads.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	set := manifests.NewSet(nil)
	return NewServer(nil, workloads, Version{}, Metrics{}, Files{}), func(replicas int) {
		contents, problems := decode.Decode("kept.yaml", []byte(fmt.Sprintf(keptObjects, replicas)), decode.Options{})
		set.Put("kept.yaml", contents, problems, time.Now())
		workloads.Apply(set.Snapshot(time.Now()))
	}
}

// The objects of manifests are those of the Kubernetes API; Secrets are for admins, and without their values.
func TestManifested(t *testing.T) {
	s, put := manifested(t)
	serve := func(network, address string, d Door) string {
		return serving(t, s, network, address, d).Addr().String()
	}
	socket := filepath.Join(t.TempDir(), "s")
	serve("unix", socket, Door{Who: access.Socket, Host: &hosts.Machine{}})
	reader := "http://" + serve("tcp", "127.0.0.1:0", plainDoor(access.Reader))
	scraper := "http://" + serve("tcp", "127.0.0.1:0", plainDoor(access.Scraper))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := NewClient(socket)
	put(1)
	watch, err := DeploymentKind.Watch(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	err = watch.Each(func(e objects.Change[appsv1.Deployment]) error {
		seen = append(seen, fmt.Sprintf("%s %s %d generation %d", e.Type, e.Object.Kind, *e.Object.Spec.Replicas, e.Object.Generation))
		switch len(seen) {
		case 1:
			put(3)
		case 2:
			return io.EOF
		}
		return nil
	})
	if got := strings.Join(seen, ", "); !errors.Is(err, io.EOF) || got != "ADDED Deployment 1 generation 1, MODIFIED Deployment 3 generation 2" {
		t.Errorf("the watch: %v, %s", err, got)
	}
	maps, err := ConfigMapKind.List(ctx, c)
	if err != nil || len(maps) != 1 || maps[0].Data["k"] != "v" || maps[0].Kind != "ConfigMap" || maps[0].UID == "" {
		t.Errorf("ConfigMaps: %v, %+v", err, maps)
	}
	secrets, err := SecretKind.List(ctx, c)
	if err != nil || len(secrets) != 1 || secrets[0].Sizes["k"] != 11 || secrets[0].Kind != "Secret" || secrets[0].Annotations[v1.LastAppliedConfigAnnotation] != "" {
		t.Errorf("Secrets: %v, %+v", err, secrets)
	}
	for path, want := range map[string]int{
		reader + "/deployments": 200, reader + "/configmaps": 200, reader + "/namespaces": 200, reader + "/secrets": 403, scraper + "/deployments": 403,
		scraper + "/configmaps": 403, scraper + "/secrets": 403, scraper + "/persistentvolumeclaims": 403,
		reader + "/desired?salt=0123456789abcdef": 403, scraper + "/desired?salt=0123456789abcdef": 403, reader + "/workloads": 200, scraper + "/workloads": 403,
	} {
		resp, err := http.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want || strings.Contains(string(text), "very-hidden") {
			t.Errorf("%s: %d, %v, %s", path, resp.StatusCode, err, text)
		}
	}
}
