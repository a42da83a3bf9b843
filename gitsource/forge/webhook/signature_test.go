package webhook_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/forge/webhook"
)

func sign(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return fmt.Sprintf("%x", mac.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestEachForgeSignsInItsOwnWay(t *testing.T) {
	const key, body = "key", `{"a":1}`
	good, other := sign(key, body), sign("other", body)
	old := hmac.New(sha1.New, []byte(key))
	old.Write([]byte(body))
	sha1sum := fmt.Sprintf("sha1=%x", old.Sum(nil))
	cases := map[string]struct {
		reason      string
		header      http.Header
		signed, has bool
	}{
		"GitHub": {"HMAC-SHA256, beside the former one.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+good, "X-Hub-Signature", sha1sum), true, true},
		"Gitea": {"It sends the headers of GitHub too, and digits alone in its own.", header("X-Gitea-Event", "push", "X-GitHub-Event", "push",
			"X-Gitea-Signature", good, "X-Hub-Signature-256", "sha256="+good, "X-Hub-Signature", sha1sum), true, true},
		"Forgejo": {"As Gitea.", header("X-Forgejo-Event", "push", "X-Gitea-Event", "push", "X-Forgejo-Signature", good, "X-Gitea-Signature", good), true, true},
		"GiteaAs": {"Behind a proxy that leaves out what is Gitea's.", header("X-Gitea-Event", "push", "X-Hub-Signature-256", "sha256="+good), true, true},
		"Cloud":   {"Bitbucket has GitHub's former header for it.", header("X-Event-Key", "repo:push", "X-Hook-UUID", "1", "X-Hub-Signature", "sha256="+good), true, true},
		"Server":  {"So has Data Center.", header("X-Event-Key", "repo:refs_changed", "X-Hub-Signature", "sha256="+good), true, true},
		"Generic": {"As Flux signs.", header("X-Signature", "sha256="+good), true, true},

		"SHA1":           {"GitHub's former algorithm is none.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", sha1sum), true, false},
		"SHA1Alone":      {"Nor does its header count.", header("X-GitHub-Event", "push", "X-Hub-Signature", sha1sum), false, false},
		"SHA1OfCloud":    {"Also of Bitbucket.", header("X-Event-Key", "repo:push", "X-Hook-UUID", "1", "X-Hub-Signature", sha1sum), true, false},
		"OtherKey":       {"Another key.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+other), true, false},
		"OtherHeader":    {"That of another forge does not count.", header("X-GitHub-Event", "push", "X-Signature", "sha256="+good), false, false},
		"WithoutPrefix":  {"GitHub names the algorithm.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", good), true, false},
		"Empty":          {"Gitea without a secret sends an empty one.", header("X-Gitea-Event", "push", "X-Gitea-Signature", "", "X-Hub-Signature-256", "sha256="), false, false},
		"Half":           {"Half of it is none.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+good[:32]), true, false},
		"NotHexadecimal": {"It is no signature.", header("X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+strings.Repeat("z", 64)), true, false},
		"GitLab":         {"It signs nothing.", header("X-Gitlab-Event", "Push Hook", "X-Signature", "sha256="+good), false, false},
		"Nothing":        {"Nor does this.", header(), false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := webhook.Signed(tc.header); got != tc.signed {
				t.Errorf("%s\nsigned: %v", tc.reason, got)
			}
			if got := webhook.Signs(tc.header, []byte(body), []byte(key)); got != tc.has {
				t.Errorf("%s\nsigned by the key: %v", tc.reason, got)
			}
			if webhook.Signs(tc.header, []byte(body+" "), []byte(key)) {
				t.Errorf("%s\nit signs another body, too", tc.reason)
			}
		})
	}
}

func TestWhatAGiteaHasSignedIsSigned(t *testing.T) {
	for _, name := range []string{"gitea-push", "gitea-tag", "gitea-create", "gitea-delete", "gitea-pull-request"} {
		header, body := request(t, name)
		if !webhook.Signs(header, body, []byte("key")) || webhook.Signs(header, body, []byte("keys")) {
			t.Errorf("%s is signed by another key than the one it was signed by", name)
		}
	}
}

func TestATokenIsShownAsTheForgeShowsIt(t *testing.T) {
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	cases := map[string]struct {
		reason string
		header http.Header
		want   bool
	}{
		"GitLab":      {"In a header of its own.", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "t0ken"), true},
		"GitLabOther": {"Another one.", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "t0kens"), false},
		"GitLabBoth":  {"The forge's own header counts.", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "other", "Authorization", "Bearer t0ken"), false},
		"Elsewhere":   {"GitLab's header is of nobody else.", header("X-GitHub-Event", "push", "X-Gitlab-Token", "t0ken"), false},
		"Azure":       {"As a password.", header("Authorization", basic("keptn", "t0ken")), true},
		"AnyUser":     {"Of any user, also of none.", header("Authorization", basic("", "t0ken")), true},
		"User":        {"A user is no password.", header("Authorization", basic("t0ken", "")), false},
		"Bearer":      {"As Gitea can, and who writes the request himself.", header("X-Gitea-Event", "push", "Authorization", "bearer t0ken"), true},
		"Scheme":      {"Nobody else's scheme.", header("Authorization", "Token t0ken"), false},
		"Nothing":     {"Nothing is shown.", header(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := webhook.Shows(tc.header, "t0ken"); got != tc.want {
				t.Errorf("%s\ngot %v", tc.reason, got)
			}
		})
	}
}
