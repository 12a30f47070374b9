package seal

import (
	"errors"
	"io/fs"
	"testing"
)

func TestHide(t *testing.T) {
	p := Process{
		Env:  []string{"PATH=/bin", "PASSWORD=hunter2", "LONG=hunter2-and-more", "PIN=12", "EMPTY=", `ODD=a"b\c`},
		Args: []string{"hunter2", "12", "sh", "<hunter2>"},
	}
	shown := Process{Env: []string{"PATH=/bin"}, Args: []string{"$(PASSWORD)", "$(PIN)", "sh", "<$(PASSWORD)>"}}
	for text, want := range map[string]string{
		`exec: "hunter2": not found`:           `exec: "$(PASSWORD)": not found`,
		`hunter2-and-more hunter2 <hunter2>`:   `$(LONG) $(PASSWORD) <$(PASSWORD)>`,
		`exec: "a\"b\\c": not found, a"b\c`:    `exec: "$(ODD)": not found, $(ODD)`,
		`exec: "sh": not found in /bin`:        `exec: "sh": not found in /bin`,
		`exec: "12": not found`:                `exec: "$(PIN)": not found`, // it is an argument
		`no space left on device, after 3.5 s`: `no space left on device, after 3.5 s`,
	} {
		err := Hide(wrapped{text}, p, shown)
		if err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v (still of its kind: %t), want %s", text, err, errors.Is(err, fs.ErrNotExist), want)
		}
	}
	if Hide(nil, p, shown) != nil {
		t.Error("nothing has become an error")
	}
}

type wrapped struct{ text string }

func (w wrapped) Error() string { return w.text }
func (w wrapped) Unwrap() error { return fs.ErrNotExist }
