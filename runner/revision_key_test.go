package runner

import (
	"os"
	"path/filepath"
	"testing"
)

// The key is made once, for root alone; a damaged one is made anew, and without a disk there is none.
func TestRevisionKey(t *testing.T) {
	root := t.TempDir()
	key := revisionKey(root)
	if len(key) != revisionKeySize || revisionKey(root) != key {
		t.Errorf("the key is %q, and then %q", key, revisionKey(root))
	}
	path := filepath.Join(root, "revision.key")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if again := revisionKey(root); again == key || len(again) != revisionKeySize || revisionKey(root) != again {
		t.Errorf("after damage the key is %q", again)
	}
	if key := revisionKey(filepath.Join(root, "nowhere")); key != "" {
		t.Errorf("a key that would be another one at the next start: %q", key)
	}
}
