package repository_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/config/crd"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

const password = "g1t-passw0rd"

// secrets are those of the namespace shop.
type secrets map[string]map[string]string

// Get implements repository.Getter.
func (s secrets) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	data, known := s[key.Name]
	if !known || key.Namespace != "shop" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	secret := obj.(*corev1.Secret)
	secret.Name, secret.Data = key.Name, map[string][]byte{}
	for k, v := range data {
		secret.Data[k] = []byte(v)
	}
	return nil
}

// world is a repository with a password, and the Secrets of a namespace.
func world(t *testing.T) (*repository.Repositories, *gittest.Repo) {
	t.Helper()
	server := gittest.New(t)
	server.RequirePassword("git", password)
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowPlainHTTPCredentials())
	if err != nil {
		t.Fatal(err)
	}
	known := secrets{
		"git":     {"username": "git", "password": password},
		"wrong":   {"username": "git", "password": "yesterday's"},
		"forge":   {"token": "t0ken"},
		"account": {"token": "t0ken\n", "username": "ada@acme.example\n"},
		"empty":   {},
	}
	return repository.New(known, nil, store, "east", outbound.Anywhere()), server.Create(t, "acme/shop")
}

func TestStatusesGoToTheForgeAndWhereNotesAreAskedForThereToo(t *testing.T) {
	cases := map[string]struct {
		reason string
		origin repository.Origin
		want   []string
	}{
		"Generic":     {"Any Git server has notes, and no more.", repository.Origin{URL: "https://git/acme/shop/", Provider: "generic"}, []string{"generic https://git/acme/shop"}},
		"GenericBoth": {"They are not kept twice.", repository.Origin{URL: "https://git/acme/shop", Provider: "generic", Notes: true}, []string{"generic https://git/acme/shop"}},
		"Forge":       {"Notes take the right to push.", repository.Origin{URL: "https://git/acme/shop", Provider: "gitea"}, []string{"gitea https://git/acme/shop"}},
		"Both":        {"They are asked for.", repository.Origin{URL: "https://git/acme/shop", Provider: "gitea", APIURL: "https://api", Notes: true}, []string{"gitea https://git/acme/shop https://api", "generic https://git/acme/shop"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range repository.New(nil, nil, nil, "", outbound.Anywhere()).Destinations(tc.origin) {
				got = append(got, d.Name)
				if d.Notes != strings.HasPrefix(d.Name, "generic ") {
					t.Errorf("%s: notes %t", d.Name, d.Notes)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNotesArePushedWithTheSecretOfGit(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*repository.Origin)
		err    error
	}{
		"Generic":       {"The Secret that it is read with.", func(*repository.Origin) {}, nil},
		"GenericOfOwn":  {"One to report with goes before, which may push.", func(o *repository.Origin) { o.Secret, o.Reporting = named("wrong"), named("git") }, nil},
		"GenericWrong":  {"It is that one and no other.", func(o *repository.Origin) { o.Reporting = named("wrong") }, forge.ErrUnauthorized},
		"BesideForge":   {"A forge's token is none of Git's.", func(o *repository.Origin) { o.Provider, o.Notes, o.Reporting = "gitea", true, named("forge") }, nil},
		"MissingSecret": {"Somebody has to create it.", func(o *repository.Origin) { o.Secret = named("none") }, repository.ErrSecret},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, repo := world(t)
			commit := repo.Commit("main", "1", map[string]string{"a": "b"})
			o := repository.Origin{Source: named("production"), URL: repo.URL, Provider: "generic", Secret: named("git")}
			tc.change(&o)
			all := r.Destinations(o)
			to, err := all[len(all)-1].Open(t.Context())
			if err == nil {
				err = to.Set(t.Context(), forge.Status{Commit: commit, Context: "keptn/production/validate", State: forge.Success, Time: time.Unix(1, 0)})
			}
			if !errors.Is(err, tc.err) {
				t.Fatalf("%s\ngot %v", tc.reason, err)
			}
			if err == nil && !strings.Contains(repo.Git("notes", "--ref=keptn", "show", commit), `"cluster":"east"`) {
				t.Errorf("%s\nthe repository has no note of this cluster", tc.reason)
			}
			if err == nil && to.Name != all[len(all)-1].Name {
				t.Errorf("it is called %q", to.Name)
			}
		})
	}
}

func TestAForgeIsOpenedWithItsToken(t *testing.T) {
	cases := map[string]struct {
		reason string
		secret string
		err    error
	}{
		"Token":   {"It has all it needs.", "forge", nil},
		"None":    {"Nobody may post without one.", "", repository.ErrNoCredentials},
		"Empty":   {"As above.", "empty", repository.ErrNoCredentials},
		"Missing": {"The Secret is not there.", "none", repository.ErrSecret},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, repo := world(t)
			o := repository.Origin{URL: repo.URL, Provider: "gitea"}
			if tc.secret != "" {
				o.Reporting = named(tc.secret)
			}
			if _, err := r.Destinations(o)[0].Open(t.Context()); !errors.Is(err, tc.err) {
				t.Errorf("%s\ngot %v", tc.reason, err)
			}
		})
	}
}

func TestAPauseThatAForgeAsksForIsOfAllThatIsAskedWithTheToken(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	r, _ := world(t)
	for i, source := range []string{"shop", "store"} {
		to, err := r.Forge(t.Context(), repository.Origin{URL: server.URL + "/acme/" + source, Provider: "gitea", Reporting: named("forge")})
		if err != nil {
			t.Fatal(err)
		}
		_, opened := to.PullRequests.Open(t.Context(), forge.PullRequest{Head: "promote", Base: "main", Title: "Promote"})
		_, listed := to.Reviews.Heads(t.Context(), "main")
		for _, err := range []error{opened, listed} {
			var limited *forge.RateLimitedError
			if !errors.As(err, &limited) || limited.RetryAfter > time.Minute || limited.RetryAfter < time.Second {
				t.Errorf("source %d: got %v", i, err)
			}
		}
	}
	if requests != 1 {
		t.Errorf("it was asked %d times", requests)
	}
}

func TestWhoWritesNotesIsToldByTheSecret(t *testing.T) {
	r, repo := world(t)
	account := func(secret string) string {
		to, err := r.Destinations(repository.Origin{URL: repo.URL, Provider: "generic", Reporting: named(secret)})[0].Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return to.Account
	}
	if git := account("git"); git != account("git") || git == account("wrong") || strings.Contains(git, password) {
		t.Errorf("the account is %q, and %q with another password", git, account("wrong"))
	}
}

func TestTheFirstRefThatTheRemoteHasIsWatched(t *testing.T) {
	r, repo := world(t)
	first := repo.Commit("main", "1", map[string]string{"a": "1"})
	repo.Git("tag", "v1.0.0", first)
	second := repo.Commit("main", "2", map[string]string{"a": "2"})
	cases := map[string]struct {
		reason string
		refs   []gitsource.Ref
		want   string
	}{
		"Branch": {"It is the first.", []gitsource.Ref{{Branch: "main"}, {Tag: "main"}}, "main@sha1:" + second},
		"Tag":    {"There is no such branch.", []gitsource.Ref{{Branch: "v1.0.0"}, {Tag: "v1.0.0"}}, "v1.0.0@sha1:" + first},
		"Range":  {"It goes before names.", []gitsource.Ref{{SemVer: "1.*"}, {Branch: "main"}}, "v1.0.0@sha1:" + first},
		"None":   {"All that was looked for is said, in one line.", []gitsource.Ref{{Branch: "x"}, {Tag: "x"}}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := repository.Origin{Source: named("production"), URL: repo.URL, Secret: named("git"), Refs: tc.refs}
			opened, err := r.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.Fetch(t.Context(), opened)
			switch {
			case tc.want == "" && (!errors.Is(err, gitsource.ErrRefNotFound) || !strings.Contains(err.Error(), "refs/heads/x") || !strings.Contains(err.Error(), "refs/tags/x") || strings.Contains(err.Error(), "\n")):
				t.Errorf("%s\ngot %v", tc.reason, err)
			case tc.want != "" && (err != nil || got.String() != tc.want):
				t.Errorf("%s\ngot %s, %v", tc.reason, got, err)
			}
		})
	}
}

func TestAHandleIsKeptForItsSourceAlone(t *testing.T) {
	r, repo := world(t)
	o := repository.Origin{Source: named("production"), URL: repo.URL, Secret: named("git")}
	open := func(o repository.Origin) *gitsource.Repository {
		opened, err := r.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	first := open(o)
	if open(o) != first {
		t.Error("it is opened twice")
	}
	nobodys := o
	nobodys.Source.Name = ""
	if second := open(nobodys); second == first || second == open(nobodys) {
		t.Error("what is nobody's is kept")
	}
	other := o
	other.Secret = named("wrong")
	if open(other) == first {
		t.Error("another Secret opens what the first one did")
	}
	r.Forget(o.Source)
	if open(o) == first {
		t.Error("it is not forgotten")
	}
}

func TestTheBranchOfAnOrigin(t *testing.T) {
	cases := map[string]struct {
		reason  string
		refs    []gitsource.Ref
		want    string
		certain bool
	}{
		"None":     {"The remote's HEAD is nobody's choice.", []gitsource.Ref{{}}, "", true},
		"Branch":   {"It is named.", []gitsource.Ref{{Branch: "main"}}, "main", true},
		"FullName": {"So it is in full.", []gitsource.Ref{{Name: "refs/heads/main"}}, "main", true},
		"Tag":      {"A tag is no branch.", []gitsource.Ref{{Tag: "v1"}}, "", true},
		"Commit":   {"A commit may be given with its branch.", []gitsource.Ref{{Commit: "c", Branch: "main"}}, "main", true},
		"Either":   {"Argo CD does not tell them apart.", []gitsource.Ref{{SemVer: "1.x"}, {Branch: "1.x"}, {Tag: "1.x"}}, "1.x", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, certain := (repository.Origin{Refs: tc.refs}).Branch(); got != tc.want || certain != tc.certain {
				t.Errorf("%s\ngot %q, %t", tc.reason, got, certain)
			}
		})
	}
}

func TestEveryProviderOfAGitSourceIsAPlaceForStatuses(t *testing.T) {
	definition, err := crd.Files.ReadFile("gitops.keptn.sh_gitsources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var parsed apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(definition, &parsed); err != nil {
		t.Fatal(err)
	}
	providers := parsed.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["provider"].Enum
	if len(providers) < 6 {
		t.Fatalf("the definition names %d providers", len(providers))
	}
	for _, raw := range providers {
		var provider string
		if err := json.Unmarshal(raw.Raw, &provider); err != nil {
			t.Fatal(err)
		}
		if _, err := forge.New(provider, forge.Target{}); err == nil || strings.Contains(err.Error(), "cannot take commit statuses") {
			t.Errorf("provider %s: %v", provider, err)
		}
	}
}

func TestAForgeIsToldWhoseTokenItIs(t *testing.T) {
	var user, token string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user, token, _ = r.BasicAuth() }))
	defer server.Close()
	r, _ := world(t)
	d, err := r.Forge(t.Context(), repository.Origin{URL: "https://bitbucket.org/acme/shop", APIURL: server.URL, Provider: "bitbucket", Reporting: named("account")})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.Latest(t.Context(), strings.Repeat("1", 40), "keptn/production/validate")
	if err != nil || user != "ada@acme.example" || token != "t0ken" {
		t.Errorf("it was told %q and %q, %v", user, token, err)
	}
}

func TestATokenDoesNotGoOverPlainHTTPUnlessThatIsAllowed(t *testing.T) {
	strict, err := gitsource.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := repository.New(secrets{"forge": {"token": "t0ken"}}, nil, strict, "", outbound.Anywhere())
	cases := map[string]struct {
		reason, url, api string
		refused          bool
	}{
		"HTTP":  {"All could read it.", "http://git/acme/shop", "", true},
		"API":   {"That of the API counts.", "https://git/acme/shop", "http://git", true},
		"Apart": {"Also where Git goes over http.", "http://git/acme/shop", "https://git", false},
		"SSH":   {"The API is at https then.", "git@git:acme/shop", "", false},
		"HTTPS": {"Nobody reads it.", "https://git/acme/shop", "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := r.Forge(t.Context(), repository.Origin{URL: tc.url, APIURL: tc.api, Provider: "gitea", Reporting: named("forge")})
			if errors.Is(err, repository.ErrAddress) != tc.refused || !tc.refused && err != nil {
				t.Errorf("%s\ngot %v", tc.reason, err)
			}
		})
	}
}
