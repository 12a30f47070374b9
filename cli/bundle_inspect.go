package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solopod/solopod/bundle"
	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests/signature"
	"github.com/solopod/solopod/runner/foreign"
)

// inspected is a bundle as -o json has it.
type inspected struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Digest     string            `json:"digest"`
	Signatures int               `json:"signatures"`
	Manifests  []bundle.Manifest `json:"manifests"`
	Images     []inspectedImage  `json:"images"`
}

type inspectedImage struct {
	Name      string   `json:"name"`
	Digest    string   `json:"digest"`
	Platforms []string `json:"platforms"`
	Size      int64    `json:"size"`
}

func newBundleInspect() *cobra.Command {
	s := &selection{}
	signed := false
	cmd := &cobra.Command{
		Use: "inspect FILE|DIR", Short: "Show what a bundle holds", Args: cobra.ExactArgs(1),
		Long: "Show what a bundle holds, after a look at all of it: a damaged one is an error. Whether its signatures are good says \"solopod bundle verify\".\n\n" +
			"With --signed it prints the bytes that signatures sign, for tools that sign or verify them themselves.",
		Example: "  solopod bundle inspect web-1.2.0.tar.zst\n" +
			"  solopod bundle inspect --signed web-1.2.0.tar.zst | ssh-keygen -Y sign -n " + signature.BundleNamespace + " -f KEY >web.sig",
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := s.form()
			if err != nil {
				return err
			}
			b, err := bundle.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if signed {
				_, err := cmd.OutOrStdout().Write(b.Signed)
				return err
			}
			i := inspect(b)
			if !form.table() {
				return s.print(cmd.OutOrStdout(), i, table{}, i.Name)
			}
			return i.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&signed, "signed", false, "print what is signed, byte by byte")
	cmd.Flags().StringVarP(&s.output, "output", "o", "", "json, yaml or name")
	return cmd
}

func inspect(b *bundle.Bundle) inspected {
	i := inspected{b.Name, b.Version, b.Digest.String(), b.Signatures(), b.Manifests, []inspectedImage{}}
	for n, image := range b.Images {
		platforms := append([]string{}, b.Contents[n].Platforms...)
		i.Images = append(i.Images, inspectedImage{image.Name, image.Target.Digest.String(), platforms, b.Contents[n].Size})
	}
	return i
}

func (i inspected) write(w io.Writer) error {
	fmt.Fprintf(w, "Name:        %s\nVersion:     %s\nDigest:      %s\nSignatures:  %d\n\n", i.Name, i.Version, i.Digest, i.Signatures)
	t := table{header: []string{"MANIFEST", "SIZE"}}
	for _, m := range i.Manifests {
		t.rows = append(t.rows, []string{m.File, size(m.Size)})
	}
	if err := t.write(w); err != nil || len(i.Images) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t = table{header: []string{"IMAGE", "PLATFORMS", "SIZE", "DIGEST"}}
	for _, m := range i.Images {
		t.rows = append(t.rows, []string{m.Name, orNone(strings.Join(m.Platforms, ",")), size(m.Size), m.Digest})
	}
	return t.write(w)
}

func newBundleVerify() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "verify FILE|DIR --key KEYS", Short: "Verify a bundle's signatures", Args: cobra.ExactArgs(1),
		Long: "Verify that a bundle is whole and signed by one of the public keys: of OpenSSH, as in ssh-keygen's allowed_signers or in files with the\n" +
			"suffix .pub, or of minisign. The exit code is 0 when it is.",
		Example: "  solopod bundle verify web-1.2.0.tar.zst --key release.pub",
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := publicKeys(files)
			if err != nil {
				return err
			}
			b, err := bundle.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			signer, err := b.Verify(keys, time.Now())
			if err != nil {
				return fmt.Errorf("%s: bundle %s %s: %w", args[0], b.Name, b.Version, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: bundle %s %s is whole and signed by %s\n", visible.Line(args[0]), b.Name, b.Version, visible.Line(signer))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&files, "key", nil, "file with public keys, one a line (repeatable)")
	cmd.MarkFlagRequired("key") //nolint:errcheck // it was just made
	return cmd
}

// maxKeyFile bounds a file of public keys, in bytes.
const maxKeyFile = 1 << 20

// publicKeys reads files of public keys.
func publicKeys(files []string) (signature.Keys, error) {
	var all []byte
	for _, file := range files {
		text, err := foreign.ReadFollowing(file, maxKeyFile)
		if err != nil {
			return signature.Keys{}, err
		}
		if _, err := signature.ParseKeys(text); err != nil {
			return signature.Keys{}, fmt.Errorf("%s: %w", file, err)
		}
		all = append(append(all, text...), '\n')
	}
	return signature.ParseKeys(all)
}
