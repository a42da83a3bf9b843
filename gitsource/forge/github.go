package forge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/outbound"
)

// githubPage is how much is asked for at once, the most that GitHub answers with.
const githubPage = 100

// github speaks with GitHub and GitHub Enterprise Server. It writes commit statuses with a
// token, by https://docs.github.com/rest/commits/statuses, as [plainStatus] says. A commit
// takes 1,000 statuses of one context.
type github struct{ site }

func speakGitHub(s site) client {
	return struct {
		github
		plainComments
	}{github{s}, githubComments(s)}
}

// github is where the API of a repository's server is.
func (l location) github() (base url.URL, owner, name string, err error) {
	web, owner, name, err := l.ownerAndName()
	return githubapp.APIOf(web), owner, name, err
}

// githubBase reads the base URL of the API, or of the server itself.
func githubBase(api string) (url.URL, error) {
	base, err := githubapp.ParseAPI(api)
	if err != nil {
		return url.URL{}, fmt.Errorf("API URL %q: %w", withoutUser(api), err)
	}
	return *base, nil
}

func githubHeader() map[string]string {
	return map[string]string{"Accept": "application/vnd.github+json", "X-Github-Api-Version": "2022-11-28"}
}

// adaptGitHub has an App write checks, and deployments shown where they are asked for.
func adaptGitHub(d *Destination, s site, target Target) {
	if s.app != "" {
		s.row.description, s.row.sets = maxCheckTitle, `the permission "Checks: write"`
		d.Reporter = reporter{s, githubChecks{s}}
	}
	if target.Deployments != "" {
		d.Reporter = githubDeployments{Reporter: d.Reporter, site: s, environment: target.Deployments}
	}
}

// asApp makes the requests those of the target's App.
func (a api) asApp(target Target) (api, error) {
	if target.Tokens == nil {
		return api{}, errors.New("an App needs a place for its tokens")
	}
	from, err := target.App.API(a.base)
	if err != nil {
		return api{}, err
	}
	installation := target.Tokens.Installation(*target.App, from, &a.client)
	a.authorize = asInstallation(installation)
	a.refused = func(token Token) { installation.Refused(githubapp.Token(token)) }
	return a, nil
}

// asInstallation authenticates with the token of an App's installation.
func asInstallation(app *githubapp.Installation) credential {
	return func(ctx context.Context, header http.Header) (Token, error) {
		token, err := app.Token(ctx)
		if err != nil {
			return "", appError(err)
		}
		header.Set("Authorization", "Bearer "+string(token))
		return Token(token), nil
	}
}

// appError says what a caller can do about an App that got no token.
func appError(err error) error {
	var refused *githubapp.Error
	switch {
	case errors.Is(err, outbound.ErrForbidden), errors.Is(err, githubapp.ErrNoToken):
		return fmt.Errorf("%w: %w", ErrRejected, err)
	case !errors.As(err, &refused):
		return fmt.Errorf("%w: %w", ErrTemporary, err)
	case limits(refused.Code, refused.Header, refused.Said):
		return limitedFor(refused.Code, refused.Header, refused.Said)
	}
	kind := kindOf(refused.Code, refused.Said)
	if errors.Is(kind, ErrNotFound) || errors.Is(kind, ErrForbidden) { // of the installation, not of the repository
		kind = ErrUnauthorized
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// githubPath is that of the repository in the API.
func (s site) githubPath() string { return "/repos/" + s.escaped() }

// githubList is a list whose pages name the next one.
func githubList[T any](ctx context.Context, a api, path string, query url.Values) iter.Seq2[T, error] {
	return each(linked[[]T](ctx, a, path, query), bare[T](0))
}

// set implements statusForge.
func (g github) set(ctx context.Context, status Status) error {
	err := g.api.call(ctx, http.MethodPost, g.githubPath()+"/statuses/"+status.Commit, nil, g.plain(status), nil)
	if refusal(err, http.StatusUnprocessableEntity, "maximum number of statuses") != nil {
		err = fmt.Errorf("the commit has 1,000 statuses of this context, and GitHub takes no more, so that it goes on to show the last one: %w", err)
	}
	return unknownCommit(err)
}

// latest implements statusForge. GitHub takes contexts that differ in case for one.
func (g github) latest(ctx context.Context, commit, context string) (*Status, error) {
	held, err := first(g.all(ctx, commit), func(s plainStatus) bool { return strings.EqualFold(s.Context, context) })
	return decoded(held, commit, unknownCommit(err))
}

// all yields the newest status of each context of a commit: the combined status.
func (g github) all(ctx context.Context, commit string) iter.Seq2[plainStatus, error] {
	type combined struct {
		Statuses []plainStatus `json:"statuses"`
	}
	pages := linked[combined](ctx, g.api, g.githubPath()+"/commits/"+url.PathEscape(commit)+"/status", pageOf("per_page", githubPage))
	return each(pages, func(page combined) ([]plainStatus, bool) { return page.Statuses, false })
}

// fit implements statusForge.
func (g github) fit(status Status) Status { return g.plain(status).decode(status.Commit) }

// unknownCommit makes an answer about a commit that GitHub does not have ErrNotFound: it
// says 422 to it, as to much else.
func unknownCommit(err error) error {
	for _, text := range []string{"no commit found", "no ref found"} {
		if answer := refusal(err, http.StatusUnprocessableEntity, text); answer != nil {
			return &answerError{code: answer.code, said: answer.said, kind: ErrNotFound}
		}
	}
	return err
}
