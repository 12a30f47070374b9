package host

import "testing"

func TestTasks(t *testing.T) {
	if now, most, err := Tasks(); err != nil || now < 2 || most < now {
		t.Errorf("there are %d of %d, %v", now, most, err)
	}
	if n, err := tasks([]byte("0.20 0.18 0.12 1/80 11206\n")); err != nil || n != 80 {
		t.Errorf("%d, %v", n, err)
	}
	for _, text := range []string{"", "0 0 0", "0 0 0 1 5", "0 0 0 a/b 5"} {
		if n, err := tasks([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}
