package image_test

import (
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/image"
)

func TestARevisionNamesACommit(t *testing.T) {
	cases := map[string]struct{ reason, revision, want string }{
		"Full":         {"What the specification asks for.", commit, commit},
		"Abbreviated":  {"git rev-parse --short, as Kargo's documentation has it.", commit[:7], commit[:7]},
		"UpperCase":    {"Git does not tell cases apart.", strings.ToUpper(commit), commit},
		"SHA256":       {"A repository may use SHA-256.", strings.Repeat("a1", 32), strings.Repeat("a1", 32)},
		"FluxBranch":   {"What flux push artifact writes.", "main@sha1:" + commit, commit},
		"FluxTag":      {"Source-controller's documentation has this one.", "6.1.8/" + commit, commit},
		"FluxRef":      {"A ref in full.", "refs/heads/feature/x@sha1:" + commit, commit},
		"FluxNoBranch": {"A detached head has no name.", "sha1:" + commit, commit},
		"Spaces":       {"Shells leave line ends.", commit + "\n", commit},
		"Digest":       {"An artifact's digest is no commit.", "latest@sha256:" + strings.Repeat("a1", 32), ""},
		"Version":      {"A version is none.", "v1.2.3", ""},
		"TooShort":     {"Six digits are not enough to go by.", commit[:6], ""},
		"Dirty":        {"What was changed is not what was committed.", commit + "-dirty", ""},
		"Nothing":      {"Nothing is none.", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := image.CommitIn(tc.revision); got != tc.want {
				t.Errorf("%s\n%q: got %q, want %q", tc.reason, tc.revision, got, tc.want)
			}
		})
	}
}

func TestATagHoldsACommit(t *testing.T) {
	cases := map[string]struct{ reason, ref, want string }{
		"Marked":     {"What docker/metadata-action writes.", "ghcr.io/acme/shop:sha-1234567", "1234567"},
		"Full":       {"All of it.", "ghcr.io/acme/shop:" + commit, commit},
		"Described":  {"What git describe writes.", "shop:v1.2.3-14-g2414721", "2414721"},
		"Parts":      {"What Flux' image automation asks for.", "shop:main-b3b00fe3-1690000000", "b3b00fe3"},
		"WithDigest": {"A digest behind it changes nothing.", "shop:b3b00fe@sha256:" + strings.Repeat("0", 64), "b3b00fe"},
		"WithPort":   {"A port is no tag.", "registry:5000/shop", ""},
		"Date":       {"Figures alone are a date or a number.", "shop:20240101", ""},
		"Word":       {"Letters alone are a word.", "shop:defaced", ""},
		"Version":    {"A version is none.", "shop:1.2.3", ""},
		"Latest":     {"Nothing is said.", "shop", ""},
		"Digest":     {"A digest is no commit.", "shop@sha256:" + strings.Repeat("a1", 32), ""},
		"Wrong":      {"No reference holds nothing.", "SHOP:b3b00fe", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := image.CommitInTag(tc.ref); got != tc.want {
				t.Errorf("%s\n%q: got %q, want %q", tc.reason, tc.ref, got, tc.want)
			}
		})
	}
}
