package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// habit are commands of kubectl, docker and podman that Solopod has not, because files are what counts, and what to do instead.
type habit struct {
	words   string
	instead string
}

// habits are in the words of one who has typed them. %s is where manifests lie unless the daemon was told otherwise.
var habits = []habit{
	{"apply create replace", "move the manifest into %s, and it runs; solopod diff FILE says before what it changes, solopod get manifests after what became of it"},
	{"edit patch set label annotate scale autoscale expose", "edit the manifest's file in %s, which solopod get manifests names; it takes effect when it is written"},
	{"delete rm remove", "remove the manifest's file from %s, which solopod get manifests names, and what it has made ends; solopod images rm and claims rm remove images and data"},
	{"stop kill", "remove the manifest's file from %s to stop a pod; solopod restart POD ends its containers and starts them anew, solopod drain stops all pods"},
	{"start up", "move the manifest into %s, and it runs; the daemon itself is started by solopod run"},
	{"down cordon uncordon taint", "solopod drain stops all pods until the next start of the daemon; a single one ends when its manifest's file leaves %s"},
	{"api-resources api-versions", "solopod get --help lists the types, and solopod explain KIND their fields"},
	{"cluster-info config", "there is one daemon, and no cluster: solopod version, solopod get nodes; --socket or $SOLOPOD_SOCKET says which daemon"},
	{"ps", "solopod get pods -A, or solopod get containers -A"},
	{"events", "solopod get events -A, with -w as they come"},
	{"debug", "solopod exec -it POD -- sh, solopod describe pod POD and solopod get events tell what is wrong; there are no ephemeral containers"},
	{"proxy", "solopod port-forward reaches a pod; the daemon itself answers HTTP where its setting listen says"},
	{"inspect", "solopod describe pod POD, or solopod get pod POD -o yaml"},
	{"stats", "solopod top pods -A, with -w again and again"},
	{"validate lint", "solopod check FILE|DIR"},
	{"rmi", "solopod images rm IMAGE"},
	{"load", "solopod images import FILE, or move the archive into the images directory"},
	{"pull", "solopod images pull IMAGE"},
}

// newHabits are commands that say what to do instead. Nobody is shown them.
func newHabits() []*cobra.Command {
	var out []*cobra.Command
	for _, h := range habits {
		instead := h.instead
		if strings.Contains(instead, "%s") {
			instead = fmt.Sprintf(instead, defaults().Manifests)
		}
		for _, word := range strings.Fields(h.words) {
			out = append(out, absent(word, fmt.Errorf("solopod has no command %q: %s", word, instead)))
		}
	}
	return out
}

// absent is a command that there is not, whatever stands behind it.
func absent(word string, why error) *cobra.Command {
	return &cobra.Command{
		Use: word, Short: why.Error(), Hidden: true, DisableFlagParsing: true, Args: cobra.ArbitraryArgs,
		Annotations:       map[string]string{absentAnnotation: ""},
		RunE:              func(*cobra.Command, []string) error { return why },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// absentAnnotation marks commands that there are not.
const absentAnnotation = "solopod.io/absent"

// isAbsent says whether a command only says that it is none.
func isAbsent(cmd *cobra.Command) bool { _, is := cmd.Annotations[absentAnnotation]; return is }
