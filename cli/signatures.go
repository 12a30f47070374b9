package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests/source"
	"github.com/solopod/solopod/runner/clock"
	"github.com/solopod/solopod/runner/event"
	"github.com/solopod/solopod/runner/versions"
)

const versionsRequired = "required"

func (c *config) checkSigning() error {
	if c.ManifestKeyFile != "" && c.ManifestKeyFile[0] != '/' {
		return fmt.Errorf("manifestKeyFile must be an absolute path, not %q", c.ManifestKeyFile)
	}
	switch c.ManifestVersions {
	case "optional":
	case versionsRequired:
		if c.ManifestKeyFile == "" {
			return fmt.Errorf("manifestVersions %s has no meaning without manifestKeyFile: only signed files have versions that can be trusted", versionsRequired)
		}
	default:
		return fmt.Errorf("manifestVersions is optional or required, not %q", c.ManifestVersions)
	}
	return nil
}

// signing is what manifests must be signed with; Versions is nil.
func (c *config) signing() source.Signing {
	return source.Signing{KeyFile: c.ManifestKeyFile, RequireVersion: c.ManifestVersions == versionsRequired}
}

// requireSignatures has the manifests of a directory verified, where the configuration demands it.
func (c *config) requireSignatures(ctx context.Context, d *source.Directory, events *event.Log, group *errgroup.Group) {
	if c.ManifestKeyFile == "" {
		return
	}
	record, told := versions.Open(filepath.Join(c.Root, "manifest-versions.json"))
	if told != "" {
		events.Node(v1.EventTypeWarning, "StateDamaged", told)
	}
	by := c.signing()
	by.Versions = record
	d.RequireSignatures(by)
	group.Go(func() error {
		if err := clock.Watch(ctx, func(time.Duration) { d.Verify() }); err != nil {
			slog.Warn("when the clock is set, keys with a time are looked at later", "err", err)
		}
		return nil
	})
}
