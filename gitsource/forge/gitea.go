package forge

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
)

// giteaPage is how much is asked for at once; Gitea's own default for the most it answers
// with (MAX_RESPONSE_ITEMS).
const giteaPage = 50

// gitea speaks with Gitea and Forgejo by their API, https://docs.gitea.com/api. It writes
// commit statuses by the operations repoCreateStatus and repoGetCombinedStatusByRef, as
// [plainStatus] says.
type gitea struct{ site }

func speakGitea(s site) client {
	return struct {
		gitea
		plainComments
	}{gitea{s}, giteaComments(s)}
}

// giteaPath is that of the repository in the API.
func (s site) giteaPath() string { return "/api/v1/repos/" + s.escaped() }

// giteaList is a list that ends with an empty page. Neither a short page nor the count in
// the header is a sure sign of the end: the server may have a lower limit, and counts wrong
// when it groups.
func giteaList[P, T any](ctx context.Context, g gitea, path string, query url.Values, of func(P) []T) iter.Seq2[T, error] {
	return each(numbered[P](ctx, g.api, path, query), func(page P) ([]T, bool) { return of(page), len(of(page)) == 0 })
}

// set implements statusForge.
func (g gitea) set(ctx context.Context, status Status) error {
	sent := g.plain(status)
	err := g.api.call(ctx, http.MethodPost, g.giteaPath()+"/statuses/"+status.Commit, nil, sent, new(plainStatus))
	// Gitea answers 500 to a commit it does not have, so ask again by reading.
	if refusal(err, http.StatusInternalServerError, "") != nil {
		if _, asked := g.latest(ctx, status.Commit, sent.Context); errors.Is(asked, ErrNotFound) {
			return asked
		}
	}
	return err
}

// latest implements statusForge.
func (g gitea) latest(ctx context.Context, commit, context string) (*Status, error) {
	held, err := first(g.all(ctx, commit), func(s plainStatus) bool { return s.Context == context })
	return decoded(held, commit, err)
}

// all yields the newest status of each context of a commit: the combined status, in which
// Gitea itself has picked it. The times of the single ones are whole seconds, and their order
// within a second is not defined.
func (g gitea) all(ctx context.Context, commit string) iter.Seq2[plainStatus, error] {
	type combined struct {
		Statuses []plainStatus `json:"statuses"`
	}
	path := g.giteaPath() + "/commits/" + url.PathEscape(commit) + "/status"
	return giteaList(ctx, g, path, pageOf("limit", giteaPage), func(page combined) []plainStatus { return page.Statuses })
}

// fit implements statusForge.
func (g gitea) fit(status Status) Status { return g.plain(status).decode(status.Commit) }
