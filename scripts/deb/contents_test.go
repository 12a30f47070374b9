package deb

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The package brings all docs, and the examples that need no tree around them.
func TestContents(t *testing.T) {
	text, err := os.ReadFile("nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Contents []struct {
			Src, Dst string
			FileInfo struct{ Mode int } `json:"file_info"`
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	const root = "../.."
	for _, dir := range []string{"docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			switch filepath.Ext(name) {
			case ".md", ".yaml", ".yml", ".json":
			default:
				return nil // programs, and pictures of the README
			}
			for _, c := range config.Contents {
				if match, err := filepath.Match(c.Src, name); err != nil || !match {
					continue
				}
				if !strings.HasPrefix(c.Dst, "/usr/share/doc/solopod/") || c.FileInfo.Mode != 0o644 {
					t.Errorf("%s goes to %s, with mode %o", name, c.Dst, c.FileInfo.Mode)
				}
				return nil
			}
			t.Errorf("the package does not bring %s", name)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
