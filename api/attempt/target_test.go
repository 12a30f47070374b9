package attempt

import "testing"

// What is wanted of which pod is read off the path, also of one that is wrong.
func TestTarget(t *testing.T) {
	for request, want := range map[[2]string][4]string{
		{"POST", "/exec/default/web/main"}:            {"exec", "default", "web", "main"},
		{"GET", "/exec/default/web/uid-1/main"}:       {"exec", "default", "web", "main"},
		{"GET", "/exec/default/web/-"}:                {"exec", "default", "web", ""},
		{"GET", "/attach/default/web/main"}:           {"attach", "default", "web", "main"},
		{"POST", "/portForward/default/web"}:          {"port-forward", "default", "web", ""},
		{"POST", "/portForward/default/web/uid-1"}:    {"port-forward", "default", "web", ""},
		{"POST", "/run/default/web/main"}:             {"run", "default", "web", "main"},
		{"GET", "/files/default/web/main"}:            {"copy-from", "default", "web", "main"},
		{"PUT", "/files/default/web/main"}:            {"copy-to", "default", "web", "main"},
		{"POST", "/checkpoint/default/web/main"}:      {"checkpoint", "default", "web", "main"},
		{"POST", "/restart/default/web"}:              {"restart", "default", "web", ""},
		{"POST", "/restartPods/far/Deployment/web"}:   {"restart-pods", "far", "", ""},
		{"POST", "/rolloutUndo/far/Deployment/web"}:   {"rollout-undo", "far", "", ""},
		{"POST", "/rolloutPause/far/Deployment/web"}:  {"rollout-pause", "far", "", ""},
		{"POST", "/rolloutResume/far/Deployment/web"}: {"rollout-resume", "far", "", ""},
		{"POST", "/drain"}:                            {"drain", "", "", ""},
		{"POST", "/images"}:                           {"import-images", "", "", ""},
		{"POST", "/images/pull"}:                      {"pull-image", "", "", ""},
		{"POST", "/images/prune"}:                     {"prune-images", "", "", ""},
		{"POST", "/bundles"}:                          {"apply-bundle", "", "", ""},
		{"DELETE", "/images"}:                         {"remove-image", "", "", ""},
		{"DELETE", "/claims/default/data"}:            {"remove-claim", "", "", ""},
		{"POST", "/exec"}:                             {"exec", "", "", ""},
		{"POST", "/exec/x"}:                           {"exec", "", "", ""},
		{"PUT", "/"}:                                  {"put", "", "", ""},
		{"PATCH", "/elsewhere/a/b/c"}:                 {"patch", "", "", ""},
	} {
		verb, namespace, pod, container := target(request[0], request[1])
		if got := [4]string{verb, namespace, pod, container}; got != want {
			t.Errorf("%v: %q, want %q", request, got, want)
		}
	}
}
