package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/solopod/solopod/api/trusted"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/image"
	imagepolicy "github.com/solopod/solopod/runner/image/policy"
	"github.com/solopod/solopod/runner/image/provider"
	"github.com/solopod/solopod/runner/image/pull"
)

// imageSettings say where images lie and come from. They were validated, but for the credential providers.
func imageSettings(c *config) (image.Settings, error) {
	s := image.Settings{
		Outside: c.Containerd != embeddedContainerd, Registries: remote.New(c.RegistryConfigDir), Parallel: c.MaxParallelImagePulls, Offline: c.ImagePullOffline,
	}
	if c.SerializeImagePulls {
		s.Parallel = 1
	}
	if path := c.ImageCredentialProviderConfig; path != "" {
		text, err := trusted.Read(path, trusted.Public, maxConfig)
		if err != nil {
			return s, fmt.Errorf("imageCredentialProviderConfig: %w", err)
		}
		if s.Providers, err = provider.Parse(text, c.ImageCredentialProviderBinDir); err != nil {
			return s, fmt.Errorf("imageCredentialProviderConfig: %s: %w", path, err)
		}
	}
	return s, nil
}

// validatePulls looks at the settings of pulls.
func validatePulls(c *config, form func(key, value string, ok bool), add func(key string, err error)) {
	form("imagePullOffline", c.ImagePullOffline, slices.Contains(imagepolicy.Offline(), c.ImagePullOffline))
	form("registryConfigDir", c.RegistryConfigDir, c.RegistryConfigDir == "" || absolute(c.RegistryConfigDir))
	for key, path := range map[string]string{
		"imageCredentialProviderConfig": c.ImageCredentialProviderConfig, "imageCredentialProviderBinDir": c.ImageCredentialProviderBinDir,
	} {
		form(key, path, path == "" || absolute(path))
	}
	if (c.ImageCredentialProviderConfig == "") != (c.ImageCredentialProviderBinDir == "") {
		given := map[bool]string{true: "imageCredentialProviderBinDir", false: "imageCredentialProviderConfig"}[c.ImageCredentialProviderConfig == ""]
		add(given, errors.New("imageCredentialProviderConfig and imageCredentialProviderBinDir go together; set both or neither"))
	}
	form("maxParallelImagePulls", strconv.Itoa(c.MaxParallelImagePulls), c.MaxParallelImagePulls >= 1)
	// The default counts as not set.
	if c.SerializeImagePulls && c.MaxParallelImagePulls > 1 && c.MaxParallelImagePulls != pull.AtOnce {
		add("maxParallelImagePulls", errors.New("serializeImagePulls has one image pulled at a time; leave one of them out"))
	}
}
