package stage

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// documented is a fenced block of a page that shows a file.
var documented = regexp.MustCompile("(?ms)^```[a-z]+ ([^ \n]+)[^\n]*\n(.*?)^```$")

// Documented reads the files that a page in docs shows, by their paths, with what is
// said in place of the page's words: old, new, as strings.NewReplacer takes them.
func Documented(root, page string, words ...string) (App, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		return nil, fmt.Errorf("read what is documented: %w", err)
	}
	swap := strings.NewReplacer(words...)
	files := App{}
	for _, block := range documented.FindAllStringSubmatch(string(text), -1) {
		if path.Ext(block[1]) != "" {
			files[block[1]] = swap.Replace(block[2])
		}
	}
	return files, nil
}
