package gitsource

import (
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/githubapp/apptest"
)

func TestSecretsAreReadAsFluxDoes(t *testing.T) {
	t.Parallel()
	host, identity := newKey(t)
	hosts := knownhosts.Line([]string{"example.com"}, host.PublicKey())
	_, locked := newKey(t)
	if block, _ := pem.Decode(locked); block != nil {
		key, err := ssh.ParseRawPrivateKey(locked)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("opens"))
		if err != nil {
			t.Fatal(err)
		}
		locked = pem.EncodeToMemory(sealed)
	}
	server := apptest.New(t, time.Now)
	app := func(more map[string]string) map[string]string {
		data := map[string]string{}
		for key, value := range server.Secret("") {
			data[key] = string(value)
		}
		maps.Copy(data, more)
		return data
	}
	const https, sshURL = "https://example.com/a", "git@example.com:a/b.git"
	cases := map[string]struct {
		reason string
		url    string
		data   map[string]string
		kind   string
		err    string // the key that an error names
	}{
		"Nothing":       {"Public repositories need none.", https, nil, "no credentials", ""},
		"Basic":         {"Username and password, which may be a token.", https, map[string]string{"username": "git", "password": "pw"}, "username and password", ""},
		"PasswordAlone": {"A password needs a user.", https, map[string]string{"password": "pw"}, "", "username"},
		"PasswordURL":   {"Who may come from the URL.", "https://git@example.com/a", map[string]string{"password": "pw"}, "username and password", ""},
		"InTheURL":      {"Both may.", "https://u:p@example.com/a", nil, "username and password", ""},
		"Bearer":        {"A bearer token wins.", https, map[string]string{"bearerToken": "t", "password": "pw"}, "bearer token", ""},
		"EmptyBearer":   {"But not if it is empty.", https, map[string]string{"bearerToken": " "}, "", "bearerToken"},
		"App":           {"A GitHub App wins over both.", https, app(map[string]string{"bearerToken": "t"}), "GitHub App 123456", ""},
		"AppWithCA":     {"Its server may have a CA of its own.", https, app(map[string]string{"ca.crt": "pw"}), "", "ca.crt"},
		"AppOfNobody":   {"It has to have a key.", https, app(map[string]string{"githubAppPrivateKey": "pw"}), "", "githubAppPrivateKey"},
		"AppOverSSH":    {"Apps have no SSH keys.", sshURL, app(nil), "", "https URLs"},
		"BadCA":         {"A CA has to be one.", https, map[string]string{"ca.crt": "pw"}, "", "ca.crt"},
		"BadClientCert": {"A client certificate, too.", https, map[string]string{"tls.crt": "pw"}, "", "tls.crt"},
		"OfAForge":      {"A forge's token has another name.", https, map[string]string{"token": "pw"}, "", `the keys ["token"], and an https URL reads username`},
		"NoSecret":      {"SSH needs a Secret.", sshURL, nil, "", "identity and known_hosts"},
		"SSH":           {"A key and whom to trust.", sshURL, map[string]string{"identity": string(identity), "known_hosts": hosts}, "ssh key", ""},
		"NoKnownHosts":  {"Nobody is trusted blindly.", sshURL, map[string]string{"identity": string(identity)}, "", "known_hosts"},
		"BadKnownHosts": {"A list of hosts has to be one.", sshURL, map[string]string{"identity": string(identity), "known_hosts": "pw"}, "", "known_hosts"},
		"NoHosts":       {"A comment names nobody.", sshURL, map[string]string{"identity": string(identity), "known_hosts": "# x\n"}, "", "known_hosts"},
		"NoIdentity":    {"SSH needs a key.", sshURL, map[string]string{"username": "a", "password": "pw", "known_hosts": hosts}, "", "identity"},
		"BadIdentity":   {"A key has to be one.", sshURL, map[string]string{"identity": "pw", "known_hosts": hosts}, "", "identity"},
		"Passphrase":    {"A passphrase opens it.", sshURL, map[string]string{"identity": string(locked), "password": "opens", "known_hosts": hosts}, "ssh key", ""},
		"NoPassphrase":  {"Without, it stays closed.", sshURL, map[string]string{"identity": string(locked), "known_hosts": hosts}, "", "identity"},
		"BadPassphrase": {"With the wrong one as well.", sshURL, map[string]string{"identity": string(locked), "password": "pw", "known_hosts": hosts}, "", "password"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for k, v := range tc.data {
				data[k] = []byte(v)
			}
			auth, err := AuthFromSecret(tc.url, data)
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("%s\nerror: %v, want one about %q", tc.reason, err, tc.err)
			}
			if err == nil && auth.String() != tc.kind {
				t.Errorf("%s\nread as %s, want %s", tc.reason, auth, tc.kind)
			}
			shown := fmt.Sprintf("%v %+v %#v %v %+v", auth, auth, auth, Remote{URL: tc.url, Auth: auth}, err)
			if strings.Contains(strings.ReplaceAll(shown, "password", ""), "pw") || strings.Contains(shown, "opens the") {
				t.Errorf("a secret shows: %s", shown)
			}
		})
	}
}

func TestURLsOfOneRepositoryShareAStore(t *testing.T) {
	t.Parallel()
	s := newStore(t, AllowPlainHTTPCredentials())
	same := func(a, b string) bool {
		return open(t, s, a).mirror == open(t, s, b).mirror
	}
	cases := map[string]struct {
		reason string
		a, b   string
		want   bool
	}{
		"Slash":     {"A slash at the end says nothing.", "https://example.com/a/b.git", "https://example.com/a/b.git/", true},
		"Host":      {"A host's case does not matter.", "https://EXAMPLE.com/a", "https://example.com/a", true},
		"Port":      {"The usual port need not be written.", "https://example.com:443/a", "https://example.com/a", true},
		"User":      {"Who asks is not which repository.", "https://u:p@example.com/a", "https://example.com/a", true},
		"Path":      {"A path's case does.", "https://example.com/a", "https://example.com/A", false},
		"Suffix":    {"A suffix may be another repository.", "https://example.com/a", "https://example.com/a.git", false},
		"Scheme":    {"And so may another scheme.", "https://example.com/a", "http://example.com/a", false},
		"FileURL":   {"A local path is a file URL.", "/tmp/x", "file:///tmp/x/", true},
		"OtherPort": {"Another port is another server.", "https://example.com:444/a", "https://example.com/a", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := same(tc.a, tc.b); got != tc.want {
				t.Errorf("%s\n%s and %s: %v", tc.reason, tc.a, tc.b, got)
			}
		})
	}
	for _, url := range []string{"", "https://", "ftp://example.com/a", "https://example.com", "https://u:sec%ret@host/\x01", "git://example.com/a", "https://a\n"} {
		if _, err := s.Repository(Remote{URL: url}); err == nil || strings.Contains(err.Error(), "ret@") {
			t.Errorf("URL %q: %v", url, err)
		}
	}
	if _, err := s.Repository(Remote{URL: "git@example.com:a"}); err == nil {
		t.Error("ssh without a key was accepted")
	}
}

func TestRevisionsAreWrittenAsFluxDoes(t *testing.T) {
	t.Parallel()
	sha := strings.Repeat("0123456789", 4)
	cases := map[string]Revision{
		"main@sha1:" + sha:             {Name: "main", Commit: sha},
		"feature/x@y@sha1:" + sha:      {Name: "feature/x@y", Commit: sha},
		"refs/pull/1/head@sha1:" + sha: {Name: "refs/pull/1/head", Commit: sha},
		"sha1:" + sha:                  {Commit: sha},
	}
	for text, want := range cases {
		got, err := ParseRevision(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q: %v (%s), %v", text, got, got, err)
		}
	}
	for text, want := range map[string]Revision{sha: {Commit: sha}, "main/" + sha: {Name: "main", Commit: sha}} {
		if got, err := ParseRevision(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "main", "main@sha1:abc", "main@sha256:" + sha, "main@" + sha, strings.ToUpper("sha1:" + sha[:39] + "a")} {
		if got, err := ParseRevision(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func FuzzParseRevision(f *testing.F) {
	f.Add("main@sha1:" + strings.Repeat("a", 40))
	f.Fuzz(func(t *testing.T, text string) {
		rev, err := ParseRevision(text)
		if err != nil {
			return
		}
		if again, err := ParseRevision(rev.String()); err != nil || again != rev {
			t.Errorf("%q: %v, then %v, %v", text, rev, again, err)
		}
	})
}

func FuzzLocateShowsNoPassword(f *testing.F) {
	f.Add("https://u:p4ssw0rd@example.com/a")
	f.Add("ssh://u:p4ssw0rd@example.com:22/a")
	f.Add("u:p4ssw0rd@example.com:a")
	f.Fuzz(func(t *testing.T, url string) {
		l, err := locate(url)
		if err != nil {
			return
		}
		if p := l.password; len(p) > 6 && strings.Contains(l.String(), p) && strings.Count(url, p) == 1 {
			t.Errorf("%q shows its password: %s", url, l)
		}
	})
}
