package forge

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A row is what is particular to one forge, as far as a table can say it. Lengths are in
// runes.
type row struct {
	// provider is the name of the row.
	provider string
	// description and context are the lengths of a status' texts.
	description, context int
	// title and body are the lengths of a pull request's texts: below the forge's own where
	// some runes count twice there.
	title, body int
	// sets, opens, lists and comments are what a token has to be allowed for statuses, for
	// opening pull requests, for listing them, and for commenting on them.
	sets, opens, lists, comments string

	// place tells a repository by its clone URL: the forge's base URL, and what is above the
	// repository, and its name, as the API calls them.
	place func(location) (base url.URL, owner, name string, err error)
	// base reads the base URL of the forge from that of its API.
	base func(api string) (url.URL, error)
	// credential is how the token is shown, and header what else each request says.
	credential func(Target) credential
	header     map[string]string
	// apps says that a GitHub App may be in place of the token.
	apps bool

	// speak is the forge's API.
	speak func(site) client
	// adapt, if not nil, has the last word.
	adapt func(*Destination, site, Target)
}

// rows is every forge statuses can be written to, but for Git notes.
func rows() map[string]row {
	return map[string]row{
		// https://docs.github.com/rest/commits/statuses
		GitHub: {
			description: 140, context: 255, title: 256, body: 60_000,
			sets:  `the permission "Commit statuses: write"`,
			opens: `the permission "Pull requests: write"`, lists: `the permission "Pull requests: read"`, comments: `the permission "Pull requests: write"`,
			place: location.github, base: githubBase, credential: bearer("Bearer "), header: githubHeader(), apps: true,
			speak: speakGitHub, adapt: adaptGitHub,
		},
		GitLab: {
			description: 255, context: 255, title: 255, body: 60_000,
			sets: "the scope api and the role Developer, or what a protected branch asks for", opens: "the scope api", lists: "the scope api", comments: "the scope api",
			// Tokens of a person, a project or a group pass as Bearer as well as in the header
			// PRIVATE-TOKEN, those of OAuth as Bearer only.
			place: location.gitlab, base: before("/api/v4"), credential: bearer("Bearer "),
			speak: speakGitLab,
		},
		// Both texts of a status are columns without a limit of their own (TEXT), so the
		// limits are what a page shows without breaking. A title is cut at 255, a body has
		// the smallest limit of the databases that Gitea runs on.
		Gitea: {
			description: 1000, context: 255, title: 250, body: 60_000,
			sets: "the scope write:repository", opens: "the scope write:repository", lists: "the scope read:repository", comments: "the scope write:issue",
			place: location.ownerAndName, base: before("/api/v1"), credential: bearer("token "),
			speak: speakGitea,
		},
		// Of a name it is known that it has 255 characters at most; a description is kept
		// as short.
		Bitbucket: {
			description: 255, context: 255, title: 255, body: 30_000,
			sets: "the permission to read repositories", opens: "the permission to write pull requests", lists: "the permission to read pull requests", comments: "the permission to write pull requests",
			place: location.bitbucket, base: before("/2.0"), credential: bitbucketCredential,
			speak: func(s site) client { return bitbucket{s} },
		},
		BitbucketServer: {
			description: 255, context: 255, title: 255, body: 30_000,
			sets: "the permission Repository read", opens: "the permission Repository write", lists: "the permission Repository read", comments: "the permission Repository read",
			place: location.projectAndName, base: before("/rest/api"), credential: bearer("Bearer "),
			speak: func(s site) client { return bitbucketServer{s} },
		},
		// No limits of statuses are documented, so they are what a page shows without
		// breaking.
		AzureDevOps: {
			description: 255, context: 255, title: 380, body: 3_800,
			sets: "the scope Code (Status)", opens: "the scope Code (Read & write)", lists: "the scope Code (Read)", comments: "the scope Code (Read & write)",
			// A wrong token is answered with 401, and not with a page to sign in.
			place: location.azure, base: parseBase, credential: azureCredential, header: map[string]string{"X-TFS-FedAuthRedirect": "Suppress"},
			speak: func(s site) client { return azureDevOps{s} }, adapt: adaptAzureDevOps,
		},
	}
}

// bearer shows the token in the header Authorization, after a word.
func bearer(word string) func(Target) credential {
	return func(t Target) credential { return inHeader("Authorization", word, t.Token) }
}

// before reads a base URL from that of an API, which is below it in a version.
func before(version string) func(string) (url.URL, error) {
	return func(api string) (url.URL, error) {
		base, _, _ := strings.Cut(api, version)
		return parseBase(base)
	}
}

// A site is one repository at its forge.
type site struct {
	api         api
	row         row
	owner, name string
	app         string // the ID, or the client ID, of the App that the requests are of
}

// repository is its name at the forge.
func (s site) repository() string { return s.owner + "/" + s.name }

// escaped is repository in a path.
func (s site) escaped() string { return url.PathEscape(s.owner) + "/" + url.PathEscape(s.name) }

// where is repository with the address of the forge, for people.
func (s site) where() string { return s.api.base.String() + "/" + s.repository() }

// A client is what is particular to a forge in speaking its API.
type client interface {
	statusForge
	pullForge
	reviewForge
}

// New opens the reporter that provider stands for. An unknown provider is an
// error, and so is a Target that lacks what the provider needs. Nothing is
// asked of the forge yet.
func New(provider string, target Target) (Destination, error) {
	all := rows()
	r, known := all[provider]
	r.provider = provider
	open := r.open
	switch {
	case provider == Generic:
		open = openNotes
	case !known:
		names := append(slices.Collect(maps.Keys(all)), Generic)
		slices.Sort(names)
		return Destination{}, fmt.Errorf("provider %q cannot take commit statuses: use one of %s", provider, strings.Join(names, ", "))
	}
	destination, err := open(target)
	if err != nil {
		return Destination{}, fmt.Errorf("provider %q: %w", provider, err)
	}
	return destination, nil
}

// open opens a repository of the forge.
func (r row) open(target Target) (Destination, error) {
	at, err := locate(target.Repository)
	if err != nil {
		return Destination{}, err
	}
	var given url.URL
	if target.API != "" {
		if given, err = r.base(target.API); err != nil {
			return Destination{}, err
		}
		at.web = given
	}
	s := site{row: r}
	var base url.URL
	if base, s.owner, s.name, err = r.place(at); err != nil {
		return Destination{}, err
	}
	if target.API != "" {
		base = given
	}
	if s.api, err = r.access(target, base); err != nil {
		return Destination{}, fmt.Errorf("repository %s: %w", s.repository(), err)
	}
	if r.apps && target.App != nil {
		s.app = target.App.ID()
	}
	s.api.by = asker{base.Host, r.account(target, base)}
	f := r.speak(s)
	d := Destination{
		Host: base.Host, Account: s.api.by.account, Repository: s.repository(),
		Reporter: reporter{s, f}, PullRequests: opener{s, f}, Reviews: reviews{s, f},
	}
	if r.adapt != nil {
		r.adapt(&d, s, target)
	}
	return d, nil
}

// account tells whose requests those to a target are.
func (r row) account(target Target, base url.URL) string {
	app := ""
	if r.apps && target.App != nil {
		app = target.App.Fingerprint()
	}
	who := fmt.Appendf(nil, "%s %s %q %q %q", r.provider, base.String(), app, target.Username, string(target.Token))
	return fmt.Sprintf("%x", sha256.Sum256(who))
}

// access authenticates as the target says.
func (r row) access(target Target, base url.URL) (api, error) {
	a := newAPI(target, base, r.credential(target))
	for name, value := range r.header {
		a.header.Set(name, value)
	}
	switch {
	case r.apps && target.App != nil:
		return a.asApp(target)
	case target.Token == "":
		return api{}, ErrUnauthorized
	}
	return a, nil
}
