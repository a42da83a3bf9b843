package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// selection says which folders are below the paths of a source.
type selection struct{ patterns []string }

func newSelection(paths []string) (selection, error) {
	if len(paths) == 0 {
		return selection{[]string{"."}}, nil
	}
	var s selection
	for i, p := range paths {
		clean := path.Clean(strings.TrimPrefix(p, "/"))
		if !fs.ValidPath(clean) || !doublestar.ValidatePattern(clean) {
			return s, fmt.Errorf("paths[%d]: %q is neither a folder of the repository nor a glob: correct it", i, p)
		}
		s.patterns = append(s.patterns, clean)
	}
	return s, nil
}

// starts are the folders to walk from, sorted.
func (s selection) starts() []string {
	var all []string
	for _, p := range s.patterns {
		if isGlob(p) {
			p, _ = doublestar.SplitPattern(p)
		}
		all = append(all, path.Clean(p))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// all says whether it is the whole tree.
func (s selection) all() bool { return slices.Contains(s.patterns, ".") }

// has says whether a folder, or one above it, is named by a pattern.
func (s selection) has(dir string) bool {
	return slices.ContainsFunc(s.patterns, func(pattern string) bool {
		if !isGlob(pattern) {
			return pattern == "." || dir == pattern || strings.HasPrefix(dir, pattern+"/")
		}
		for at := dir; ; at = path.Dir(at) {
			if doublestar.MatchUnvalidated(pattern, at) {
				return true
			}
			if at == "." {
				return doublestar.MatchUnvalidated(pattern, path.Join(dir, FileName))
			}
		}
	})
}

func isGlob(p string) bool { return strings.ContainsAny(p, `*?[{\`) }
