package forge_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/outbound"
)

func TestARepositoryIsFoundByAnyFormOfItsURL(t *testing.T) {
	cases := map[string]struct {
		reason, repository, api string
		host, name              string
	}{
		"Web":        {"As browsers show it.", "https://git.example.com/acme/shop", "", "git.example.com", "acme/shop"},
		"Clone":      {"As git clones it.", "https://git.example.com/acme/shop.git", "", "git.example.com", "acme/shop"},
		"Slash":      {"As people paste it.", "https://git.example.com/acme/shop.git/", "", "git.example.com", "acme/shop"},
		"Port":       {"The API has the same port as the pages.", "http://127.0.0.1:3000/acme/shop.git", "", "127.0.0.1:3000", "acme/shop"},
		"IPv6":       {"Brackets stay.", "http://[::1]:3000/acme/shop.git", "", "[::1]:3000", "acme/shop"},
		"User":       {"Credentials in a URL are not ours.", "https://me:pw@git.example.com/acme/shop", "", "git.example.com", "acme/shop"},
		"SubPath":    {"A forge may live below a path.", "https://example.com/git/hub/acme/shop.git", "", "example.com", "acme/shop"},
		"SSH":        {"SSH's port is not the API's.", "ssh://git@git.example.com:2222/acme/shop.git", "", "git.example.com", "acme/shop"},
		"SCP":        {"The short form of SSH.", "git@git.example.com:acme/shop.git", "", "git.example.com", "acme/shop"},
		"SCPNoUser":  {"The user is optional.", "git.example.com:acme/shop", "", "git.example.com", "acme/shop"},
		"API":        {"SSH and pages may have different names.", "git@ssh.example.com:acme/shop", "https://git.example.com/sub/", "git.example.com", "acme/shop"},
		"APIVersion": {"The documented API URL works too.", "git@ssh.example.com:acme/shop", "https://git.example.com/api/v1", "git.example.com", "acme/shop"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := forge.New(forge.Gitea, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if err != nil || d.Host != tc.host || d.Repository != tc.name {
				t.Errorf("%s\ngot host %q, repository %q, %v; want %q, %q", tc.reason, d.Host, d.Repository, err, tc.host, tc.name)
			}
		})
	}
}

func TestTheAPIIsAskedBelowTheForgesOwnPath(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.RequestURI }))
	defer server.Close()
	const suffix = "/api/v1/repos/acme/shop/commits/" + knownCommit + "/status?limit=50&page=1"
	cases := map[string]struct {
		reason, repository, api, want string
	}{
		"Derived":  {"What is before owner and name is the forge's.", server.URL + "/sub/acme/shop", "", "/sub" + suffix},
		"Given":    {"The owner of the token knows best.", server.URL + "/acme/shop", server.URL + "/forge", "/forge" + suffix},
		"Complete": {"The version is not added twice.", server.URL + "/acme/shop", server.URL + "/forge/api/v1/", "/forge" + suffix},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := mustNew(t, forge.Gitea, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if _, _, err := d.Latest(t.Context(), knownCommit, "a"); err != nil || asked != tc.want {
				t.Errorf("%s\nasked %s, %v; want %s", tc.reason, asked, err, tc.want)
			}
		})
	}
}

func TestATargetThatCannotWorkIsRefusedWithoutShowingSecrets(t *testing.T) {
	store := &noteStore{}
	cases := map[string]struct {
		reason, provider string
		target           forge.Target
		says             string
	}{
		"UnknownProvider": {"A typing error must not become another forge.", "gitee", forge.Target{}, "generic, gitea"},
		"NoToken":         {"Deploy keys cannot post.", forge.Gitea, forge.Target{Repository: "https://h/o/r"}, "token"},
		"NoOwner":         {"Gitea has owners.", forge.Gitea, forge.Target{Repository: "https://h/r", Token: secret}, "owner"},
		"SSHPath":         {"SSH knows no sub-path.", forge.Gitea, forge.Target{Repository: "git@h:a/o/r", Token: secret}, "owner"},
		"NoURL":           {"It names nothing.", forge.Gitea, forge.Target{Repository: "https://h", Token: secret}, "names no repository"},
		"File":            {"A folder has no forge.", forge.Gitea, forge.Target{Repository: "/srv/git/o/r", Token: secret}, "owner"},
		"OtherScheme":     {"No forge speaks it.", forge.Gitea, forge.Target{Repository: "ftp://h/o/r", Token: secret}, "ftp"},
		"BrokenURL":       {"The password has an unescaped slash.", forge.Gitea, forge.Target{Repository: "https://me:" + secret + "/x@h/o/r", Token: secret}, "percent-encoded"},
		"BrokenAPI":       {"As above.", forge.Gitea, forge.Target{Repository: "https://h/o/r", API: "https://me:" + secret + "/x@h", Token: secret}, "percent-encoded"},
		"UserInAPI":       {"The token is given apart.", forge.Gitea, forge.Target{Repository: "https://h/o/r", API: "https://me:" + secret + "@h", Token: secret}, "leave user and password out"},
		"APIWithoutHost":  {"A host alone is no URL.", forge.Gitea, forge.Target{Repository: "https://h/o/r", API: "git.example.com", Token: secret}, "https://host"},
		"NoStore":         {"Notes need somewhere to go.", forge.Generic, forge.Target{Repository: "https://h/o/r"}, "store"},
		"NotesOfNothing":  {"Notes are of a repository.", forge.Generic, forge.Target{Repository: "https://h", Notes: store}, "names no repository"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := forge.New(tc.provider, tc.target)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s\ngot %v, want an error that says %q and shows no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestNoFormatShowsTheToken(t *testing.T) {
	target := forge.Target{Repository: "https://h/o/r", Token: secret}
	d := mustNew(t, forge.Gitea, target)
	asJSON, err := json.Marshal(map[string]any{"token": target.Token})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb+"\n", target.Token, target, d)
	}
	for _, leak := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%d", []byte(secret))[1:10]} {
		if strings.Contains(shown, leak) {
			t.Errorf("%q is in:\n%s", leak, shown)
		}
	}
}

func TestAClientTrustsTheCAItWasGiven(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ask := func(ca []byte) error {
		client, err := forge.NewClient(ca, nil, outbound.Anywhere())
		if err != nil {
			t.Fatal(err)
		}
		defer client.CloseIdleConnections()
		d := mustNew(t, forge.Gitea, forge.Target{Repository: server.URL + "/o/r", Token: secret, Client: client})
		_, _, err = d.Latest(t.Context(), knownCommit, "a")
		return err
	}
	if err := ask(ca); err != nil {
		t.Errorf("with the server's CA: %v", err)
	}
	if err := ask(nil); err == nil {
		t.Error("the system's CAs do not know the server: want an error")
	}
	if _, err := forge.NewClient([]byte("no PEM"), nil, outbound.Anywhere()); err == nil {
		t.Error("a CA that is none: want an error")
	}
}

// asksAlone is the variable that makes a process of the tests ask just one server.
const asksAlone = "FORGE_TEST_ASKS"

// The system's authorities are read once in the life of a process, so that this asks by
// another one, whose system trusts the server.
func TestTheSystemsCAsAreTrustedBesideTheOneThatIsGiven(t *testing.T) {
	if server := os.Getenv(asksAlone); server != "" {
		client, err := forge.NewClient(anotherCA(t), nil, outbound.Anywhere())
		if err != nil {
			t.Fatal(err)
		}
		d := mustNew(t, forge.Gitea, forge.Target{Repository: server + "/o/r", Token: secret, Client: client})
		if _, _, err := d.Latest(t.Context(), knownCommit, "a"); err != nil {
			t.Error(err)
		}
		return
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{}) }))
	defer server.Close()
	system := filepath.Join(t.TempDir(), "system.crt")
	if err := os.WriteFile(system, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	alone := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	alone.Env = append(os.Environ(), asksAlone+"="+server.URL, "SSL_CERT_FILE="+system, "SSL_CERT_DIR="+filepath.Dir(system))
	if said, err := alone.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// anotherCA is an authority that no server is known by.
func anotherCA(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	made, err := x509.CreateCertificate(nil, ca, ca, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})
}

func TestAForgeAtAnAddressThatIsNotAllowedIsNotAsked(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	client, err := forge.NewClient(nil, nil, outbound.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	d := mustNew(t, forge.Gitea, forge.Target{Repository: server.URL + "/o/r", Token: secret, Client: client})
	_, _, err = d.Latest(t.Context(), knownCommit, "a")
	if !errors.Is(err, forge.ErrRejected) || !errors.Is(err, outbound.ErrForbidden) || asked {
		t.Errorf("error %v, asked %v: want it refused, and not tried again", err, asked)
	}
}

func TestAForgeIsAskedThroughItsProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Host+" "+r.Header.Get("Proxy-Authorization"))
		answer(w, http.StatusOK, map[string]any{})
	}))
	defer proxy.Close()
	at, err := url.Parse(strings.Replace(proxy.URL, "http://", "http://ada:pw@", 1))
	if err != nil {
		t.Fatal(err)
	}
	client, err := forge.NewClient(nil, at, outbound.Anywhere())
	if err != nil {
		t.Fatal(err)
	}
	d := mustNew(t, forge.Gitea, forge.Target{Repository: "http://192.0.2.1/o/r", Token: secret, Client: client})
	if _, _, err := d.Latest(t.Context(), knownCommit, "a"); err != nil || len(asked) != 1 || asked[0] != "192.0.2.1 Basic YWRhOnB3" {
		t.Errorf("the proxy was asked for %q: %v", asked, err)
	}
}
