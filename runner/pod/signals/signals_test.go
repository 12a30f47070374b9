package signals

import "testing"

func TestName(t *testing.T) {
	for number, want := range map[int]string{
		0: "", 1: "SIGHUP", 15: "SIGTERM", 31: "SIGSYS", 32: "", 34: "SIGRTMIN", 37: "SIGRTMIN+3", 49: "SIGRTMIN+15", 50: "SIGRTMAX-14", 64: "SIGRTMAX", 65: "",
	} {
		if got := Name(number); got != want {
			t.Errorf("%d is %q, not %q", number, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for name, want := range map[string]int{
		"": 15, "SIGTERM": 15, "term": 15, "SIGKILL": 9, "9": 9, "SIGRTMIN+3": 37, "rtmin+3": 37, "SIGNONE": 15, "65": 15, "-1": 15, "USR1": 10,
	} {
		if got := Number(name); got != want {
			t.Errorf("%q: %d, not %d", name, got, want)
		}
	}
}
