package composefile

import (
	"fmt"
	"strings"

	"github.com/solopod/solopod/convert/tree"
)

// Lookup says what a variable holds, and whether it is set.
type Lookup func(name string) (string, bool)

// maxText bounds what a text may become when its variables are filled in, in bytes.
const maxText = 1 << 20

// substitution fills variables in as compose does: $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message}, ${NAME?message},
// ${NAME:+other}, ${NAME+other}, and $$ for a dollar. What follows the operator may hold variables, too.
type substitution struct {
	lookup Lookup
	// used is told of each variable that is asked for.
	used func(name string, set bool)
	// spent counts the bytes of what was filled in.
	spent *int
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// variable is the name at the beginning of text.
func variable(text string) string {
	i := 0
	for i < len(text) && isNameByte(text[i], i == 0) {
		i++
	}
	return text[:i]
}

func (s substitution) text(text string, depth int) (string, error) {
	if depth > 10 {
		return "", fmt.Errorf("variables stand inside of variables more than 10 deep")
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			b.WriteString(text)
			return b.String(), nil
		}
		b.WriteString(text[:i])
		text = text[i+1:]
		if b.Len() > maxText {
			return "", fmt.Errorf("with its variables it has more than %d bytes", maxText)
		}
		switch name := variable(text); {
		case text[0] == '$':
			b.WriteByte('$')
			text = text[1:]
		case text[0] == '{':
			end := closing(text)
			if end < 0 {
				return "", fmt.Errorf("${ is not closed; write $$ for a dollar")
			}
			value, err := s.braced(text[1:end], depth)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = text[end+1:]
		case name == "":
			return "", fmt.Errorf("a variable's name is missing after $; write $$ for a dollar")
		default:
			value, set := s.lookup(name)
			s.used(name, set)
			b.WriteString(value)
			text = text[len(name):]
		}
	}
}

// closing finds the brace that closes the one with which text begins.
func closing(text string) int {
	open := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '{' && (i == 0 || text[i-1] == '$'):
			open++
		case text[i] == '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}

func (s substitution) braced(text string, depth int) (string, error) {
	name := variable(text)
	rest := text[len(name):]
	if name == "" {
		return "", fmt.Errorf("${%s} is no variable; write $$ for a dollar", text)
	}
	value, set := s.lookup(name)
	there := set
	if strings.HasPrefix(rest, ":") {
		rest, there = rest[1:], value != ""
		if rest == "" {
			return "", fmt.Errorf("${%s} is no variable", text)
		}
	}
	if rest == "" {
		s.used(name, set)
		return value, nil
	}
	s.used(name, true) // what stands for it is said in the file
	other, err := s.text(rest[1:], depth+1)
	if err != nil {
		return "", err
	}
	switch {
	case rest[0] == '-' && there, rest[0] == '?' && there:
		return value, nil
	case rest[0] == '-', rest[0] == '+' && there:
		return other, nil
	case rest[0] == '+':
		return "", nil
	case rest[0] == '?':
		return "", fmt.Errorf("the variable %s is required: %s; set it in the environment or in .env", name, other)
	}
	return "", fmt.Errorf("${%s} is no variable", text)
}

// fill fills in the variables of all values of a tree. fail is told of a value that cannot be.
func (s substitution) fill(n *tree.Node, fail func(n *tree.Node, err error)) {
	if n == nil {
		return
	}
	if n.Kind == tree.Scalar && strings.Contains(n.Value, "$") {
		value, err := s.text(n.Value, 0)
		if *s.spent += len(value); err == nil && *s.spent > maxSpent {
			err = fmt.Errorf("with their variables the files have more than %d bytes", maxSpent)
		}
		if err != nil {
			fail(n, err)
			return
		}
		n.Value = value
	}
	for _, item := range n.Items {
		s.fill(item, fail)
	}
	for _, e := range n.Entries {
		s.fill(e.Value, fail)
	}
}
