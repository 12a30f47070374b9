package rescue

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestDo(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	own := errors.New("f's own")
	if err := Do("try", func() error { return own }); err != own { //nolint:errorlint // it is not touched
		t.Error(err)
	}
	if err := Do("try", func() error { return nil }); err != nil || log.Len() > 0 {
		t.Errorf("%v, %s", err, &log)
	}
	var none map[string]bool
	err := Do("read the list", func() error { none["x"] = true; return nil })
	if !errors.Is(err, ErrPanicked) || !strings.Contains(err.Error(), "nil map") {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "read the list") || !strings.Contains(got, "rescue.TestDo") {
		t.Errorf("the log does not say where: %s", got)
	}
}
