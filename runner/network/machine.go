package network

import (
	"fmt"
	"path/filepath"

	"github.com/solopod/solopod/runner/network/bridge"
)

// DefaultStateDir is the state directory whose daemon gets the plain bridge name.
const DefaultStateDir = "/run/solopod"

// Instance names what several daemons of one machine must not share: cgroups, a bridge, shims. The daemon of the default
// state directory has the plain name.
func Instance(stateDir string) string {
	if filepath.Clean(stateDir) == DefaultStateDir {
		return "solopod"
	}
	return fmt.Sprintf("solopod-%06x", bridge.Hash(filepath.Clean(stateDir))&0xffffff)
}

// BridgeName is the name of an instance's bridge.
func BridgeName(instance string) string {
	if instance == "solopod" {
		return "solopod0"
	}
	return instance
}
