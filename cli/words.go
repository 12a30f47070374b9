package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/solopod/solopod/manifests/spelling"
)

// strict has the whole command line answer wrong words with an error, and never with a help text and success: a script would take that for
// what it asked for. It also has names completed that many commands take.
func (g *global) strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	g.strictBelow(root)
}

func (g *global) strictBelow(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		g.strictBelow(c)
	}
	g.completeFlags(cmd)
	switch {
	case cmd.Name() == "help" && cmd.HasParent() && !cmd.Parent().HasParent():
		cmd.Run, cmd.RunE = nil, helpFor
	case cmd.HasParent() && cmd.Parent().Name() == "completion":
		cmd.RunE = complete // cobra's writes where the root's output went when it was made
	case cmd.Runnable():
		said := cmd.Args
		cmd.Args = func(cmd *cobra.Command, args []string) error { return argsError(cmd, args, said) }
	default: // it only has others below it
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return below(cmd, args) }
	}
}

// below says that a command needs one of those below it, or has none of that name.
func below(cmd *cobra.Command, args []string) error {
	var names, aliases []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
			aliases = append(aliases, c.Aliases...)
		}
	}
	if len(args) == 0 {
		return fmt.Errorf("%s needs a command behind it: %s; see %[1]s --help", cmd.CommandPath(), strings.Join(names, ", "))
	}
	if near := cmp.Or(spelling.Nearest(args[0], names), spelling.Nearest(args[0], aliases)); near != "" {
		return fmt.Errorf("%s has no command %q; did you mean %q?", cmd.CommandPath(), args[0], near)
	}
	return fmt.Errorf("%s has no command %q; what it has: %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
}

// helpFor is the help command.
func helpFor(cmd *cobra.Command, args []string) error {
	at := cmd.Root()
	for _, word := range args {
		next, rest, err := at.Find([]string{word})
		if err != nil || next == at || len(rest) > 0 {
			if !at.HasAvailableSubCommands() {
				return fmt.Errorf("%s has no commands below it; its help: %[1]s --help", at.CommandPath())
			}
			return below(at, []string{word})
		}
		at = next
	}
	if isAbsent(at) {
		return at.RunE(at, nil)
	}
	at.InitDefaultHelpFlag()
	return at.Help()
}

// complete writes a shell's completion.
func complete(cmd *cobra.Command, _ []string) error {
	bare, err := cmd.Flags().GetBool("no-descriptions")
	if err != nil {
		bare = false // a shell without them
	}
	root, out := cmd.Root(), cmd.OutOrStdout()
	switch cmd.Name() {
	case "bash":
		return root.GenBashCompletionV2(out, !bare)
	case "zsh":
		if bare {
			return root.GenZshCompletionNoDesc(out)
		}
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, !bare)
	}
	if bare {
		return root.GenPowerShellCompletion(out)
	}
	return root.GenPowerShellCompletionWithDesc(out)
}

// argsError says beside what is wrong with the arguments how the command is used.
func argsError(cmd *cobra.Command, args []string, said cobra.PositionalArgs) error {
	if said == nil {
		return nil
	}
	err := said(cmd, args)
	var exit exitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
}

// flagError names the flag that is most like one that there is not.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if name := unknown.GetSpecifiedName(); len(name) > 1 {
		if near := spelling.Nearest(name, names); near != "" {
			return fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// completeFlags has names completed behind the flags that take some.
func (g *global) completeFlags(cmd *cobra.Command) {
	for name, complete := range map[string]cobra.CompletionFunc{"namespace": g.completeNamespaces, "container": g.completeContainers, "output": completeForms} {
		if cmd.LocalFlags().Lookup(name) == nil {
			continue
		}
		if _, has := cmd.GetFlagCompletionFunc(name); has {
			continue
		}
		if name == "output" && cmd.Name() != "get" {
			continue // others have forms of their own
		}
		if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // there is such a flag, and nobody has registered it
		}
	}
}
