package composefile

import (
	"fmt"
	"strings"
)

// Variable is one line of a file of variables.
type Variable struct {
	Name  string
	Value string
	// Set: the line has a value; one that has only a name takes what the environment has.
	Set  bool
	Line int
}

// ParseEnv reads a file of variables, as .env or of env_file: NAME=value, with export before it, comments, and quotes. In double quotes and
// without quotes variables are filled in, from lookup and from the lines before; raw leaves all as it is.
func ParseEnv(text string, lookup Lookup, raw bool) (out []Variable, err error) {
	own := map[string]string{}
	s := substitution{
		lookup: func(name string) (string, bool) {
			if v, ok := lookup(name); ok {
				return v, true
			}
			v, ok := own[name]
			return v, ok
		},
		used: func(string, bool) {},
	}
	line, spent := 0, 0
	for text != "" {
		line++
		var this string
		this, text, _ = strings.Cut(text, "\n")
		this = strings.TrimSpace(strings.TrimPrefix(this, "\ufeff"))
		if this == "" || this[0] == '#' {
			continue
		}
		this = strings.TrimSpace(strings.TrimPrefix(this, "export "))
		name, value, set := strings.Cut(this, "=")
		name = strings.TrimSpace(name)
		if name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("line %d is not of the form NAME=value", line)
		}
		v := Variable{Name: name, Set: set, Line: line}
		value = strings.TrimSpace(value)
		quote := byte(0)
		if !raw && value != "" && (value[0] == '"' || value[0] == '\'') {
			quote = value[0]
			body := value[1:]
			end := unquotedEnd(body, quote)
			if end >= 0 {
				value = body[:end]
			} else { // a value in quotes may have several lines
				if end = unquotedEnd(text, quote); end < 0 {
					return nil, fmt.Errorf("the quote of line %d is not closed", v.Line)
				}
				line += strings.Count(text[:end], "\n") + 1
				value = body + "\n" + strings.ReplaceAll(text[:end], "\r\n", "\n")
				_, text, _ = strings.Cut(text[end:], "\n")
			}
		}
		switch {
		case raw:
			v.Value = value
		case quote == '\'':
			v.Value = strings.ReplaceAll(value, `\'`, `'`)
		case quote == '"':
			v.Value, err = s.text(unescape(value), 0)
		default:
			if i := strings.Index(value, " #"); i >= 0 {
				value = strings.TrimSpace(value[:i])
			}
			v.Value, err = s.text(value, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", v.Line, err)
		}
		if spent += len(v.Value); spent > maxSpent {
			return nil, fmt.Errorf("line %d: with their variables the values have more than %d bytes together", v.Line, maxSpent)
		}
		if set {
			own[name] = v.Value
		}
		out = append(out, v)
	}
	return out, nil
}

// unquotedEnd is where the quote is closed, -1 where it is not.
func unquotedEnd(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

var escapes = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\\`, `\`, `\$`, `$$`)

func unescape(text string) string { return escapes.Replace(text) }
