package plugin

import (
	"testing"

	"github.com/solopod/solopod/runner/internal/testbox"
)

func TestMain(m *testing.M) { testbox.Main(m) }
