package githubapp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/gitsource/githubapp/apptest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A stage is an App, a server that knows it, and a time that the test moves.
type stage struct {
	app    *apptest.Server
	server *httptest.Server
	tokens *githubapp.Tokens
	now    time.Time
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{now: noon}
	s.app = apptest.New(t, func() time.Time { return s.now })
	s.server = httptest.NewServer(http.StripPrefix("/api/v3", s.app))
	t.Cleanup(s.server.Close)
	s.tokens = githubapp.NewTokens(func() time.Time { return s.now })
	return s
}

// open returns the installation that a Secret names, after a change of it.
func (s *stage) open(t *testing.T, change map[string]string) *githubapp.Installation {
	t.Helper()
	data := s.app.Secret(s.server.URL)
	for key, value := range change {
		data[key] = []byte(value)
	}
	app, err := githubapp.FromSecret(data)
	if err != nil {
		t.Fatal(err)
	}
	api, err := app.API(url.URL{Scheme: "http", Host: strings.TrimPrefix(s.server.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	return s.tokens.Installation(app, api, s.server.Client())
}

func (s *stage) token(t *testing.T, i *githubapp.Installation) string {
	t.Helper()
	token, err := i.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

func TestATokenIsKeptUntilShortlyBeforeItExpires(t *testing.T) {
	s := newStage(t)
	i := s.open(t, nil)
	first := s.token(t, i)
	if !s.app.Valid(first) {
		t.Fatalf("%s is none of the server's", first)
	}
	s.now = noon.Add(57 * time.Minute)
	if again := s.token(t, s.open(t, nil)); again != first {
		t.Errorf("a token that is good for three minutes is replaced")
	}
	s.now = noon.Add(58 * time.Minute)
	if again := s.token(t, i); again == first {
		t.Errorf("a token is used that expires while it is used")
	}
	if got := len(s.app.Requests()); got != 2 {
		t.Errorf("%d requests were made, want 2", got)
	}
}

func TestATokenIsKeptByTheServersClock(t *testing.T) {
	s := newStage(t)
	s.app.Now = func() time.Time { return s.now.Add(50 * time.Second) } // it is ahead, and we date back
	i := s.open(t, nil)
	first := s.token(t, i)
	s.now = noon.Add(58*time.Minute - time.Second)
	if s.token(t, i) != first {
		t.Error("it has the hour that the server gave it, whatever our clock says")
	}
	s.now = noon.Add(58 * time.Minute)
	if s.token(t, i) == first {
		t.Error("and not the time by which the server's clock is ahead")
	}
}

func TestTheServersClockMayBeBehindByAMinute(t *testing.T) {
	s := newStage(t)
	s.app.Now = func() time.Time { return s.now.Add(-time.Minute) }
	s.token(t, s.open(t, nil))
}

func TestHoweverManyAskOneRequestIsMade(t *testing.T) {
	s := newStage(t)
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	s.app.Wait = func() {
		arrived <- struct{}{}
		<-release
	}
	i := s.open(t, nil)
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := i.Token(gone)
		first <- err
	}()
	<-arrived
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who goes away is not held: %v", err)
	}
	var all sync.WaitGroup
	tokens := make([]string, 20)
	for n := range tokens {
		all.Go(func() {
			token, err := i.Token(t.Context())
			if err != nil {
				t.Error(err)
			}
			tokens[n] = string(token)
		})
	}
	close(release)
	all.Wait()
	for _, token := range tokens {
		if token != tokens[0] {
			t.Errorf("%q and %q", tokens[0], token)
		}
	}
	if got := s.app.Requests(); len(got) != 1 {
		t.Errorf("made were %v, want one request, also if who asked first has gone", got)
	}
}

func TestInstallationsDoNotShareTokens(t *testing.T) {
	s, other := newStage(t), newStage(t)
	other.tokens = s.tokens
	if a, b := s.open(t, nil), other.open(t, nil); s.token(t, a) == "" || !other.app.Valid(other.token(t, b)) {
		t.Error("the token of another server is used")
	}
	before := len(s.app.Requests())
	s.token(t, s.open(t, map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "acme"}))
	if len(s.app.Requests()) == before {
		t.Error("another way to the installation takes what was got by the first")
	}
	// Who has another key has to show it.
	if _, err := s.open(t, map[string]string{"githubAppPrivateKey": string(other.app.Secret("")["githubAppPrivateKey"])}).Token(t.Context()); err == nil {
		t.Error("a wrong key gets the token that the right one got")
	}
}

func TestATokenThatIsRefusedIsReplaced(t *testing.T) {
	s := newStage(t)
	i := s.open(t, nil)
	first, err := i.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i.Refused(first)
	second := s.token(t, i)
	if second == string(first) {
		t.Error("a token that was refused is used again")
	}
	i.Refused(first)
	if s.token(t, i) != second {
		t.Error("the refusal of an old token ends the new one")
	}
}

func TestAnInstallationIsFoundByItsOwner(t *testing.T) {
	cases := map[string]struct {
		reason, owner string
		want          []string
	}{
		"Organization": {"The usual owner.", "acme", []string{"GET /orgs/acme/installation"}},
		"User":         {"Users install Apps, too.", "ada", []string{"GET /orgs/ada/installation", "GET /users/ada/installation"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.token(t, s.open(t, map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": tc.owner}))
			want := append(tc.want, "POST /app/installations/789/access_tokens")
			if diff := cmp.Diff(want, s.app.Requests()); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefusalsSayWhichKeyIsWrongAndShowNone(t *testing.T) {
	cases := map[string]struct {
		reason string
		change map[string]string
		code   int
		says   string
	}{
		"App":          {"GitHub knows no such App.", map[string]string{"githubAppID": "654321"}, http.StatusUnauthorized, "githubAppID"},
		"Installation": {"It is installed elsewhere.", map[string]string{"githubAppInstallationID": "1"}, http.StatusNotFound, "githubAppInstallationID"},
		"Owner":        {"As above.", map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "nobody"}, http.StatusNotFound, "githubAppInstallationOwner"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			_, err := s.open(t, tc.change).Token(t.Context())
			var answer *githubapp.Error
			if !errors.As(err, &answer) || answer.Code != tc.code || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s\ngot %v, want HTTP %d and %s", tc.reason, err, tc.code, tc.says)
			}
			if text := err.Error(); strings.Contains(text, "eyJ") || strings.Contains(text, "\n") {
				t.Errorf("the error shows the JWT: %s", text)
			}
		})
	}
}

func TestAnAnswerThatIsNoTokenIsAnError(t *testing.T) {
	for name, body := range map[string]string{"Page": "<html>", "Empty": "{}", "NoEnd": `{"token": "ghs_x"}`, "NoJSONAtAll": ""} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
			if _, err := s.open(t, nil).Token(t.Context()); !errors.Is(err, githubapp.ErrNoToken) || strings.Contains(err.Error(), "ghs_x") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheJWTDoesNotFollowARedirect(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	s := newStage(t)
	s.server.Config.Handler = http.RedirectHandler(other.URL, http.StatusTemporaryRedirect)
	_, err := s.open(t, nil).Token(t.Context())
	var answer *githubapp.Error
	if !errors.As(err, &answer) || answer.Code != http.StatusTemporaryRedirect || asked {
		t.Errorf("got %v, other host asked: %t", err, asked)
	}
}

func TestSecretsAreReadAsFluxDoes(t *testing.T) {
	cases := map[string]struct {
		reason string
		change map[string]string
		says   string // the key that an error names
	}{
		"ID":           {"As Flux has them.", nil, ""},
		"Owner":        {"The other way to name an installation.", map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "acme-inc"}, ""},
		"ClientID":     {"GitHub takes it in the ID's stead.", map[string]string{"githubAppID": "Iv23liabcdef"}, ""},
		"Spaces":       {"A line's end comes with many a file.", map[string]string{"githubAppID": "123456\n", "githubAppInstallationID": " 789\n"}, ""},
		"NoID":         {"Nobody signs.", map[string]string{"githubAppID": ""}, "githubAppID"},
		"BadID":        {"It would go into a JWT.", map[string]string{"githubAppID": "a b"}, "githubAppID"},
		"NoInstall":    {"An App may be installed anywhere.", map[string]string{"githubAppInstallationID": ""}, "githubAppInstallationID"},
		"BothInstalls": {"They may contradict each other.", map[string]string{"githubAppInstallationOwner": "acme"}, "githubAppInstallationOwner"},
		"BadInstall":   {"It goes into a path.", map[string]string{"githubAppInstallationID": "../7"}, "githubAppInstallationID"},
		"BadOwner":     {"As above.", map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "../a"}, "githubAppInstallationOwner"},
		"NoKey":        {"Nothing to sign with.", map[string]string{"githubAppPrivateKey": ""}, "githubAppPrivateKey"},
		"BadKey":       {"It has to be one.", map[string]string{"githubAppPrivateKey": "pw"}, "githubAppPrivateKey"},
		"BadBase":      {"It has to be an address.", map[string]string{"githubAppBaseURL": "github.example.com"}, "githubAppBaseURL"},
		"UserInBase":   {"A password there would show.", map[string]string{"githubAppBaseURL": "https://u:pw@github.example.com"}, "githubAppBaseURL"},
	}
	s := newStage(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			data := s.app.Secret("https://github.example.com/api/v3")
			for key, value := range tc.change {
				data[key] = []byte(value)
			}
			app, err := githubapp.FromSecret(data)
			if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s\ngot %v, want an error about %q", tc.reason, err, tc.says)
			}
			if shown := fmt.Sprintf("%v %+v %#v %v", app, app, app, err); strings.Contains(shown, "pw") || strings.Contains(shown, "PRIVATE") {
				t.Errorf("a secret shows: %s", shown)
			}
		})
	}
}

func TestTheSecretDecidesWhereTheAppIs(t *testing.T) {
	cases := map[string]struct {
		reason, repository, base, want string
	}{
		"GitHub":     {"Where nothing is said, as with Flux.", "https://github.com/acme/shop", "", "https://api.github.com"},
		"SSH":        {"SSH over port 443 has a host of its own.", "https://ssh.github.com/acme/shop", "", "https://api.github.com"},
		"API":        {"The repository may be given by its API.", "https://api.github.com", "", "https://api.github.com"},
		"Residency":  {"With data residency the API has a host of its own, too.", "https://acme.ghe.com/acme/shop", "https://acme.ghe.com", "https://api.acme.ghe.com"},
		"Enterprise": {"As Flux documents it.", "https://github.example.com/acme/shop", "https://github.example.com/api/v3/", "https://github.example.com/api/v3"},
		"Server":     {"The server's address will do.", "https://github.example.com/acme/shop", "https://GitHub.example.com:8443", "https://GitHub.example.com:8443/api/v3"},
		"GitHubs":    {"Of GitHub's own, too.", "https://github.com/acme/shop", "https://github.com", "https://api.github.com"},
		"NotSaid":    {"Whoever names a repository does not decide where the key speaks.", "https://git.example.com/acme/shop", "", ""},
		"Elsewhere":  {"A token of one server is not for another.", "https://git.example.com/acme/shop", "https://api.github.com", ""},
		"LooksAlike": {"Nor for one that has the name in its own.", "https://github.com.example.com/acme/shop", "https://github.com", ""},
	}
	s := newStage(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			app, err := githubapp.FromSecret(s.app.Secret(tc.base))
			if err != nil {
				t.Fatal(err)
			}
			repository, err := url.Parse(tc.repository)
			if err != nil {
				t.Fatal(err)
			}
			got, err := app.API(*repository)
			if tc.want == "" && (err == nil || !strings.Contains(err.Error(), "githubAppBaseURL")) || tc.want != "" && (err != nil || got.String() != tc.want) {
				t.Errorf("%s\ngot %s, %v; want %q", tc.reason, got.String(), err, tc.want)
			}
		})
	}
}

func TestTheAPIIsThatOfTheRepositorysServer(t *testing.T) {
	for repository, want := range map[string]string{
		"https://github.com/acme/shop":             "https://api.github.com",
		"https://ssh.github.com":                   "https://api.github.com",
		"https://acme.ghe.com/acme/shop":           "https://api.acme.ghe.com",
		"http://github.example.com:8080/acme/shop": "http://github.example.com:8080/api/v3",
		"https://github.com.example.com/acme/shop": "https://github.com.example.com/api/v3",
		"https://api.github.example.com/acme/shop": "https://api.github.example.com/api/v3",
		"https://notgithub.com/acme/shop":          "https://notgithub.com/api/v3",
		"https://evil-ghe.com/acme/shop":           "https://evil-ghe.com/api/v3",
	} {
		at, err := url.Parse(repository)
		if err != nil {
			t.Fatal(err)
		}
		if got := githubapp.APIOf(*at); got.String() != want {
			t.Errorf("%s: got %s, want %s", repository, got.String(), want)
		}
	}
}

func TestNoFormatShowsATokenOrAKey(t *testing.T) {
	s := newStage(t)
	i := s.open(t, nil)
	token, err := i.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb+"\n", token, i, s.tokens)
	}
	for _, leak := range []string{string(token), fmt.Sprintf("%x", string(token)), "PrivateKey", "Precomputed"} {
		if strings.Contains(shown, leak) {
			t.Errorf("%q is in:\n%s", leak, shown)
		}
	}
}
