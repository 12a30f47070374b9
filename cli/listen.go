package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/solopod/solopod/api"
	"github.com/solopod/solopod/api/access"
	"github.com/solopod/solopod/api/hosts"
)

// listenAll opens the listeners of the configuration and has them served. A port that cannot be had is not worth a machine
// without pods: another program may have it.
func listenAll(ctx context.Context, c config, server *api.Server, serve func(func() error)) error {
	socket, err := listenSocket(ctx, c.Socket, c.SocketGroup)
	if err != nil {
		return err
	}
	machine := &hosts.Machine{Node: c.NodeName, Allowed: c.AllowedHosts}
	serve(func() error { return server.Serve(ctx, socket, api.Door{Who: access.Socket, Host: machine}) })
	// Whom to let in is not guessed: what is wrong with it ends the start.
	if c.AuthTokenFile != "" {
		if err := access.CheckTokens(c.AuthTokenFile); err != nil {
			return err
		}
	}
	listen := &net.ListenConfig{}
	if c.Listen != "" {
		if plain, err := listen.Listen(ctx, "tcp", c.Listen); err != nil {
			slog.Error("cannot serve HTTP there; choose another --listen, or \"\" for none", "listen", c.Listen, "err", err)
		} else {
			serve(func() error { return server.Serve(ctx, plain, c.plainDoor(machine)) })
		}
	}
	if c.TLSListen == "" {
		return nil
	}
	names, addresses := ownNames(c.NodeName)
	identity, err := access.TLS{
		CertFile: c.TLSCertFile, KeyFile: c.TLSPrivateKeyFile, Dir: filepath.Join(c.Root, "tls"), ClientCAFile: c.ClientCAFile,
		Names: names, Addresses: addresses,
	}.Identity()
	if err != nil {
		return err
	}
	l, err := listen.Listen(ctx, "tcp", c.TLSListen)
	if err != nil {
		slog.Error("cannot serve HTTPS there; choose another --tls-listen", "tlsListen", c.TLSListen, "err", err)
		return nil
	}
	slog.Info("HTTPS for clients with a certificate or a token", "address", l.Addr(), "sha256", identity.Fingerprint())
	door := api.Door{Who: access.Credentials(c.AuthTokenFile, identity.Trusts), Secure: identity, Host: machine}
	serve(func() error { return server.Serve(ctx, l, door) })
	return nil
}

// plainDoor is that of the port without TLS.
func (c *config) plainDoor(machine *hosts.Machine) api.Door {
	role := access.Scraper
	if c.PlainPort == plainRead {
		role = access.Reader
	}
	return api.Door{Who: access.Plain(role, c.AuthTokenFile), Host: machine, More: fmt.Sprintf(
		"for more use the command line, the socket (curl --unix-socket %s http://localhost/pods), the TLS port, or plainPort: read in the configuration", c.Socket)}
}

// ownNames are what the machine may be called by, for its certificate.
func ownNames(node string) (names []string, addresses []net.IP) {
	addresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	list, err := net.InterfaceAddrs()
	if err != nil {
		slog.Debug("cannot list the machine's addresses", "err", err)
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			addresses = append(addresses, n.IP)
		}
	}
	return []string{"localhost", node}, addresses
}

// listenSocket listens on the unix socket, in place of one that a killed daemon left.
func listenSocket(ctx context.Context, path, group string) (net.Listener, error) {
	gid := -1
	if group != "" {
		var err error
		if gid, err = groupID(group); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("cannot replace the socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the socket: %w", err)
	}
	if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o660)); err != nil { //nolint:forbidigo // its directory is root's
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("socketGroup: %w (make it with groupadd %s)", err, name)
	}
	return strconv.Atoi(g.Gid)
}
