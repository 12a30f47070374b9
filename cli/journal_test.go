package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
)

func TestJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newJournal(&out, slog.LevelInfo))
	log.Debug("not worth a line")
	log.Info("a pod started", "pod", "default/web")
	log.With("pod", "default/db").Warn("it waits", "err", errors.New("no image"))
	log.Error("the disk is full")
	want := "<6>msg=\"a pod started\" pod=default/web\n<4>msg=\"it waits\" pod=default/db err=\"no image\"\n<3>msg=\"the disk is full\"\n"
	if out.String() != want {
		t.Errorf("the journal gets\n%swant\n%s", out.String(), want)
	}
}
