package gitname_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitname"
)

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
			if got := gitname.PublicURL(tc.raw); got != tc.want {
				t.Errorf("%s\nPublicURL(%q) = %q, want %q", tc.reason, tc.raw, got, tc.want)
			}
		})
	}
}

func TestURLsOfOneRepository(t *testing.T) {
	cases := map[string]struct {
		reason string
		a, b   string
		want   bool
	}{
		"Same":        {"They are equal.", "https://github.com/acme/shop", "https://github.com/acme/shop", true},
		"Extension":   {"Git's extension may be left out.", "https://github.com/acme/shop.git", "https://github.com/acme/shop/", true},
		"SSH":         {"One is over SSH.", "ssh://git@github.com/acme/shop", "https://github.com/acme/shop.git", true},
		"SCP":         {"One is as scp takes it.", "git@github.com:acme/shop.git", "https://github.com/acme/shop", true},
		"Case":        {"Forges do not tell cases apart.", "https://GitHub.com/Acme/Shop", "https://github.com/acme/shop", true},
		"Credentials": {"Credentials are not part of it.", "https://u:p@github.com/acme/shop", "https://github.com/acme/shop", true},
		"Port":        {"A forge has several ports.", "ssh://git@git.example.com:2222/acme/shop", "https://git.example.com/acme/shop", true},
		"OtherName":   {"It is another repository.", "https://github.com/acme/shop", "https://github.com/acme/shops", false},
		"OtherHost":   {"It is another forge.", "https://github.com/acme/shop", "https://gitlab.com/acme/shop", false},
		"NoURL":       {"What is none is the same as nothing.", "shop", "shop", false},
		"Empty":       {"Nothing is not the same as nothing.", "", "", false},
		"Path":        {"A path is no URL.", "/srv/git/shop:1", "/srv/git/shop:1", false},
		"Port443":     {"SSH goes where HTTPS does.", "ssh://git@ssh.github.com:443/acme/shop.git", "https://github.com/acme/shop", true},
		"Azure":       {"Azure DevOps has another path over SSH.", "git@ssh.dev.azure.com:v3/acme/shop/api", "https://acme@dev.azure.com/acme/shop/_git/api", true},
		"AzureShort":  {"A project's own repository may leave it out.", "https://dev.azure.com/acme/_git/shop", "git@ssh.dev.azure.com:v3/acme/shop/shop", true},
		"AzureLegacy": {"Its former host serves the same.", "https://acme.visualstudio.com/DefaultCollection/shop/_git/api", "https://dev.azure.com/acme/shop/_git/api", true},
		"AzureOther":  {"It is another repository of the project.", "https://dev.azure.com/acme/shop/_git/web", "git@ssh.dev.azure.com:v3/acme/shop/api", false},
		"Bitbucket":   {"Bitbucket Server has another path over HTTP.", "https://git.example.com/bitbucket/scm/ACME/shop.git", "ssh://git@git.example.com:7999/acme/shop.git", true},
		"Control":     {"Nor is this.", "https://github.com/\x00", "https://github.com/\x00", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := gitname.SameRepository(tc.a, tc.b); got != tc.want {
				t.Errorf("%s\n%q and %q: %v", tc.reason, tc.a, tc.b, got)
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
		if got := gitname.PublicURL(raw); strings.Contains(got, mark) {
			t.Errorf("PublicURL(%q) = %q, which holds the password", raw, got)
		}
	})
}
