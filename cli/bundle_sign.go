package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/bundle/sign"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/runner/foreign"
)

func newBundleSign() *cobra.Command {
	var key, made, out string
	cmd := &cobra.Command{
		Use: "sign FILE --key KEY", Short: "Sign a bundle", Args: cobra.ExactArgs(1),
		Long: "Sign a bundle with a private key of OpenSSH, and put the signature into it; earlier ones stay. The file is written anew beside the old one, and\n" +
			"takes its place, or with -o goes to another file.\n\n" +
			"With --signature a signature is put in that another tool has made, of ssh-keygen or of minisign, of what \"solopod bundle inspect --signed\"\n" +
			"prints: the key may be in an agent, on a token, or on another machine.",
		Example: "  solopod bundle sign web-1.2.0.tar.zst --key ~/.ssh/id_ed25519\n" +
			"  solopod bundle sign web-1.2.0.tar.zst --signature web.sig",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (key == "") == (made == "") {
				return errors.New("name a private key with --key, or a signature with --signature")
			}
			b, err := bundle.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			text, err := signatureFor(cmd, b, key, made)
			if err != nil {
				return err
			}
			to := cmp.Or(out, args[0])
			if err := b.AddSignature(cmd.Context(), text, to); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: bundle %s %s, %s, signed\n", visible.Line(to), b.Name, b.Version, b.Digest)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "file with a private key of OpenSSH")
	f.StringVar(&made, "signature", "", "file with a signature that was made elsewhere")
	f.StringVarP(&out, "output", "o", "", "write to this file instead of the bundle's own")
	return cmd
}

// signatureFor makes a signature with a key, or reads the one that was made.
func signatureFor(cmd *cobra.Command, b *bundle.Bundle, key, made string) ([]byte, error) {
	if made != "" {
		return foreign.ReadFollowing(made, signature.MaxSize)
	}
	text, err := foreign.ReadFollowing(key, sign.MaxKey)
	if err != nil {
		return nil, err
	}
	signer, err := sign.Key(text, func() ([]byte, error) { return askPassphrase(cmd, key) })
	if errors.As(err, &exitError{}) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return sign.Sign(signer, b.Signed, signature.BundleNamespace)
}

// askPassphrase asks the person at the terminal.
func askPassphrase(cmd *cobra.Command, key string) ([]byte, error) {
	in := int(os.Stdin.Fd())
	before, err := term.GetState(in)
	if err != nil {
		return nil, errors.New("the key has a passphrase, and there is no terminal to ask for it; sign with ssh-keygen and an agent, and use --signature")
	}
	defer term.Restore(in, before) //nolint:errcheck // after Ctrl-C the terminal would go on without an echo
	fmt.Fprintf(cmd.ErrOrStderr(), "Passphrase of %s: ", visible.Line(key))
	defer fmt.Fprintln(cmd.ErrOrStderr())
	return interruptible(cmd.Context(), func() ([]byte, error) { return term.ReadPassword(in) })
}
