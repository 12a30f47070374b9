package isolate

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/foreign"
)

// LookPlace finds where the packets of a pod enter the machine. unseen says why they do so past all rules of the machine.
func LookPlace(space string) (place Place, unseen string, err error) {
	ns, err := foreign.OpenKernel(space, os.O_RDONLY)
	if err != nil {
		return place, "", fmt.Errorf("cannot open the pod's network namespace: %w", err)
	}
	defer ns.Close() //nolint:errcheck // only referred to
	inside, err := netlink.NewHandleAt(netns.NsHandle(int(ns.Fd())), unix.NETLINK_ROUTE)
	if err != nil {
		return place, "", fmt.Errorf("cannot look into the pod's network namespace: %w", err)
	}
	defer inside.Close()
	eth0, err := inside.LinkByName("eth0")
	if err != nil {
		return place, "", fmt.Errorf("cannot find the pod's eth0: %w", err)
	}
	place.Hardware = eth0.Attrs().HardwareAddr
	const past = "its interface is of the kind %s, whose packets pass none of the machine's rules"
	if eth0.Type() != "veth" {
		return place, fmt.Sprintf(past, eth0.Type()), nil
	}
	end, err := netlink.LinkByIndex(eth0.Attrs().ParentIndex)
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && (end.Type() != "veth" || end.Attrs().ParentIndex != eth0.Attrs().Index) {
		return place, "the other end of its interface is not on the machine", nil
	}
	if err != nil {
		return place, "", fmt.Errorf("cannot find the other end of the pod's eth0: %w", err)
	}
	place.Interface = end.Attrs().Name
	if end.Attrs().MasterIndex == 0 {
		return place, "", nil
	}
	master, err := netlink.LinkByIndex(end.Attrs().MasterIndex)
	if err != nil {
		return Place{}, "", fmt.Errorf("cannot find what the pod's interface belongs to: %w", err)
	}
	switch master.Type() {
	case "bridge":
		place.Bridged = true
	case "vrf":
	default:
		return place, fmt.Sprintf(past, master.Type()), nil
	}
	return place, "", nil
}
