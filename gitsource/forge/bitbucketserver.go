package forge

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// bitbucketServerPage is how much is asked for at once.
const bitbucketServerPage = 100

// bitbucketServer speaks with Bitbucket Data Center (formerly Server), from 7.4 on. It
// writes build statuses by
// https://developer.atlassian.com/server/bitbucket/rest/v1000/api-group-builds-and-deployments/.
//
// A status is overwritten by its key, which is the context, and which is also said to be
// its own parent: the merge check "required builds" asks for parents. A status needs an
// address: without a target it leads to the commit.
//
// States: as at [bitbucket]. UNKNOWN and CANCELLED, which others write, are read as an
// Error.
//
// What is above a repository is the key of its project, or ~user.
type bitbucketServer struct{ site }

// bitbucketBuild is RestBuildStatus of the API; sent, it is RestBuildStatusSetRequest.
type bitbucketBuild struct {
	Key         string `json:"key"`
	Parent      string `json:"parent"`
	State       string `json:"state"`
	Name        string `json:"name"`
	Description string `json:"description"`
	URL         string `json:"url"`
	// Updated is in milliseconds since 1970.
	Updated int64 `json:"updatedDate,omitempty"`
}

// projectAndName splits the path of a repository of Bitbucket Data Center: over HTTP
// below the server's own path and scm, over SSH as it is.
func (l location) projectAndName() (base url.URL, project, name string, err error) {
	parts := strings.Split(l.path, "/")
	n := len(parts)
	overHTTP := !l.ssh && n >= 3 && parts[n-3] == "scm"
	if l.host == "" || !overHTTP && !(l.ssh && n == 2) {
		return url.URL{}, "", "", fmt.Errorf("repository %q on host %q is not a project and a name: use the clone URL, as https://%s/scm/project/name.git", l.path, l.host, l.host)
	}
	base = l.web
	if overHTTP && n > 3 {
		base.Path = "/" + strings.Join(parts[:n-3], "/")
	}
	return base, parts[n-2], parts[n-1], nil
}

// path is that of the repository in the API.
func (b bitbucketServer) path() string {
	return "/rest/api/latest/projects/" + url.PathEscape(b.owner) + "/repos/" + url.PathEscape(b.name)
}

// bitbucketServerList is a list whose pages say where the next one starts, which need not
// be where they end (https://developer.atlassian.com/server/bitbucket/rest/v906/intro/).
// Whose the token is, is in the header of each, and noted in user if that is not nil.
func bitbucketServerList[T any](ctx context.Context, a api, path string, query url.Values, user *string) iter.Seq2[T, error] {
	type page struct {
		Values []T   `json:"values"`
		Last   bool  `json:"isLastPage"`
		Next   int64 `json:"nextPageStart"`
	}
	query.Set("limit", strconv.Itoa(bitbucketServerPage))
	query.Set("start", "0")
	pages := chained(ctx, a, path, query, func(got answer, p page) string {
		if name, err := url.PathUnescape(got.header.Get("X-Ausername")); err == nil && user != nil {
			*user = name
		}
		if p.Last || p.Next == 0 {
			return ""
		}
		query.Set("start", decimal(p.Next))
		return "?" + query.Encode()
	})
	return each(pages, func(p page) ([]T, bool) { return p.Values, false })
}

// set implements statusForge.
func (b bitbucketServer) set(ctx context.Context, status Status) error {
	return b.api.call(ctx, http.MethodPost, b.path()+"/commits/"+status.Commit+"/builds", nil, b.encode(status), new(any))
}

// latest implements statusForge.
func (b bitbucketServer) latest(ctx context.Context, commit, context string) (*Status, error) {
	var held bitbucketBuild
	path := b.path() + "/commits/" + url.PathEscape(commit)
	found, err := b.api.within(ctx, path, path+"/builds", url.Values{"key": {context}}, &held)
	if !found {
		return nil, err
	}
	status := b.decode(held, commit)
	return &status, nil
}

// fit implements statusForge.
func (b bitbucketServer) fit(status Status) Status { return b.decode(b.encode(status), status.Commit) }

// encode returns the status as it is sent.
func (b bitbucketServer) encode(s Status) bitbucketBuild {
	said, s := b.say(bitbucketWords(), s)
	to := cmp.Or(pageURL(s.TargetURL, bitbucketURL), b.page(s.Commit))
	return bitbucketBuild{Key: s.Context, Parent: s.Context, State: said, Name: s.Context, Description: s.Description, URL: to}
}

// decode returns the status that Bitbucket answered with.
func (b bitbucketServer) decode(s bitbucketBuild, commit string) Status {
	state, description := bitbucketWords().hear(s.State, s.Description)
	to := s.URL
	if to == b.page(commit) {
		to = ""
	}
	return Status{Commit: commit, Context: s.Key, State: state, Description: description, TargetURL: to, Time: time.UnixMilli(s.Updated)}
}

// page is the commit's.
func (b bitbucketServer) page(commit string) string { return b.home() + "/commits/" + commit }

// home is the page of the repository.
func (b bitbucketServer) home() string {
	owner := "/projects/" + url.PathEscape(b.owner)
	if user, personal := strings.CutPrefix(b.owner, "~"); personal {
		owner = "/users/" + url.PathEscape(user)
	}
	return b.api.base.String() + owner + "/repos/" + url.PathEscape(b.name)
}
