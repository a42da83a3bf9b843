package gitname_test

import (
	"strings"
	"testing"

	"github.com/keptn/gitops/gitname"
)

func TestTheNameOfACommitIsToldFromOthers(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 4)
	cases := map[string]struct {
		reason          string
		name            string
		full, commitish bool
	}{
		"SHA1":     {"Most repositories are of SHA-1.", digits[:40], true, true},
		"SHA256":   {"Some are of SHA-256.", digits, true, true},
		"Seven":    {"Git abbreviates to seven digits.", digits[:7], false, true},
		"Six":      {"Fewer are too few to tell.", digits[:6], false, false},
		"Between":  {"A name between the two is cut off.", digits[:63], false, true},
		"TooLong":  {"More than 64 digits are of nothing.", digits + "0", false, false},
		"Upper":    {"Git writes lower case.", strings.ToUpper(digits[:40]), false, false},
		"Branch":   {"A branch is none.", "feature", false, false},
		"Empty":    {"Nothing is none.", "", false, false},
		"NotASCII": {"Nor are other digits.", strings.Repeat("٣", 20), false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := gitname.IsCommit(tc.name); got != tc.full {
				t.Errorf("%s\nIsCommit(%q) = %v", tc.reason, tc.name, got)
			}
			if got := gitname.IsCommitish(tc.name); got != tc.commitish {
				t.Errorf("%s\nIsCommitish(%q) = %v", tc.reason, tc.name, got)
			}
		})
	}
	if got := gitname.Short(digits) + gitname.Short("abc"); got != "0123456abc" {
		t.Errorf("Short = %q", got)
	}
}
