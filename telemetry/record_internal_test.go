package telemetry

import (
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

func TestADeliveryEndsOnce(t *testing.T) {
	open, closed, later := &lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnAppVersion{}
	closed.Status.EndTime = metav1.NewTime(time.Unix(1, 0))
	later.Status.EndTime, later.Status.Status = metav1.NewTime(time.Unix(2, 0)), lifecyclev1.StateDeprecated
	cases := map[string]struct {
		reason        string
		before, after *lifecyclev1.KeptnAppVersion
		want          bool
	}{
		"GoesOn":   {"It is under way.", open, open, false},
		"Ends":     {"It has come to an end.", open, closed, true},
		"Ended":    {"It had ended before.", closed, closed, false},
		"GivenUp":  {"What had ended is given up afterwards: it counts once.", closed, later, false},
		"RunAgain": {"It runs again, and is open again.", closed, open, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Ended(tc.before, tc.after); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestARepositorysURLIsToldWithoutItsSecrets(t *testing.T) {
	cases := map[string]struct {
		reason, raw, want string
	}{
		"Plain":          {"Most have none.", "https://github.com/acme/shop", "https://github.com/acme/shop"},
		"Password":       {"A password is one.", "https://ci:hunter2@github.com/acme/shop.git", "https://github.com/acme/shop.git"},
		"TokenAsUser":    {"Forges take a token for the user.", "https://ghp_abc@github.com/acme/shop", "https://github.com/acme/shop"},
		"TokenInQuery":   {"A query may hold one.", "https://git.example.com/shop?private_token=abc#x", "https://git.example.com/shop"},
		"SSH":            {"The user of SSH says where to go, and is no secret.", "ssh://git@github.com:22/acme/shop", "ssh://git@github.com:22/acme/shop"},
		"SSHPassword":    {"Its password is one, though it has no use.", "ssh://git:hunter2@github.com/acme/shop", "ssh://git@github.com/acme/shop"},
		"SCP":            {"Git's short form of SSH has no place for a password.", "git@github.com:acme/shop.git", "git@github.com:acme/shop.git"},
		"SCPWithoutUser": {"The user may be left out.", "github.com:acme/shop.git", "github.com:acme/shop.git"},
		"Path":           {"A local repository.", "/srv/git/shop.git", "/srv/git/shop.git"},
		"Unclear":        {"What looks like a password is not told.", "ci:hunter2@github.com/acme/shop", ""},
		"Broken":         {"A URL that does not parse cannot be cleaned.", "https://ci:hunter2@github.com:port/acme", ""},
		"Empty":          {"None is none.", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := PublicURL(tc.raw); got != tc.want {
				t.Errorf("%s\npublicURL(%q) = %q, want %q", tc.reason, tc.raw, got, tc.want)
			}
		})
	}
}

func FuzzNoPasswordSurvives(f *testing.F) {
	f.Add("https", "ci", "hunter2", "github.com/acme/shop")
	f.Add("ssh", "git", "hunter2", "github.com:22/acme/shop.git?a=b")
	f.Add("", "git", "hunter2", "github.com:acme/shop.git")
	f.Add("https", "", "%zz", "h:p")
	f.Fuzz(func(t *testing.T, scheme, user, password, rest string) {
		const mark = "s3cr3t-"
		if strings.Contains(rest, "@") || strings.ContainsAny(scheme, "/@:?#") {
			t.Skip("the password would not be one")
		}
		raw := user + ":" + mark + url.QueryEscape(password) + "@" + rest
		if scheme != "" {
			raw = scheme + "://" + raw
		}
		if got := PublicURL(raw); strings.Contains(got, mark) {
			t.Errorf("PublicURL(%q) = %q, which holds the password", raw, got)
		}
	})
}
