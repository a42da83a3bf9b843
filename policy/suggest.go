package policy

import (
	"fmt"
	"slices"
	"strings"
)

// didYouMean offers the known name nearest to a wrong one, or nothing if none is
// near.
func didYouMean(wrong string, known []string) string {
	if best := nearest(wrong, known); best != "" {
		return fmt.Sprintf("; did you mean `%s`?", best)
	}
	return ""
}

// nearest is the known name that is the fewest steps from a wrong one, at most a
// third of its characters; or "".
func nearest(wrong string, known []string) string {
	best, least := "", len(wrong)/3+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(strings.ToLower(wrong), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
