package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrStalled says that a registry has sent nothing for too long: the link is lost, or the registry hangs.
	ErrStalled = errors.New("the connection is stalled")
	// ErrBusy says that a registry asks not to be asked for a while.
	ErrBusy = errors.New("the registry is busy")
	// ErrNoLogin says that it could not be found out who a registry is to be told that asks.
	ErrNoLogin = errors.New("the login is not known now")
)

// NoAnswer says whether an error is that a registry cannot be reached, or does not serve now, or that this machine
// cannot log in for a fault of its own. It is none when the registry has said no.
func NoAnswer(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) {
		return status.StatusCode >= http.StatusInternalServerError || status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout
	}
	var ofNet net.Error
	return errors.As(err, &ofNet) || isLost(err) || errors.Is(err, ErrBusy) || errors.Is(err, ErrNoLogin) || errors.Is(err, context.DeadlineExceeded) || untrusted(err) != ""
}

// isLost: the connection ended before it was over.
func isLost(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, ErrStalled) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (r *Registries) advise(name string, err error) error {
	host, _, _ := strings.Cut(name, "/")
	file := "hosts.toml"
	if r.dir != "" {
		file = filepath.Join(r.dir, host, file)
	}
	switch what := untrusted(err); {
	case what != "":
		return fmt.Errorf("%w: %s (%s)", err, what, file)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Errorf("%w: it speaks plain HTTP, which anybody on the way can change; where that is bearable, name it as server = \"http://...\" in %s", err, file)
	}
	return err
}

// untrusted says what to do about a certificate that is not taken; empty for other errors.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "this machine trusts nobody who has signed the certificate; name the CA of the registry with ca"
	case errors.As(err, new(x509.HostnameError)):
		return "the certificate is for other names; another server answers, or the registry's certificate lacks this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate does not hold now; look at this machine's clock, then at the certificate"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "the certificate is not one that this machine takes; name the CA of the registry with ca"
	}
	return ""
}
