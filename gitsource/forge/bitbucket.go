package forge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// bitbucketAPI is the host of the API of Bitbucket Cloud, and bitbucketWeb where its
	// pages are.
	bitbucketAPI = "api.bitbucket.org"
	bitbucketWeb = "https://bitbucket.org"
	// bitbucketPage is how much is asked for at once, the most pull requests that it answers
	// with.
	bitbucketPage = 50
	// bitbucketKey is the length of a key, in characters.
	bitbucketKey = 40
	// bitbucketURL is the length of a target URL, in characters.
	bitbucketURL = 450
)

// bitbucket speaks with Bitbucket Cloud. It writes build statuses by
// https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/.
//
// A status has a key, by which it is overwritten, and a name, which people see. The name
// is the context. The key is made of it: what is readable of its beginning, and a hash of
// the whole, so that no two contexts share one. A status needs an address: without a
// target it leads to the commit.
//
// States: Pending is INPROGRESS, Success SUCCESSFUL, Failure FAILED. A Warning is
// SUCCESSFUL with a description that begins with "Warning: ", an Error FAILED with
// "Inconclusive: ". STOPPED, which others write, is read as an Error.
type bitbucket struct{ site }

// bitbucketStatus is commitstatus of the API.
type bitbucketStatus struct {
	Key         string    `json:"key"`
	State       string    `json:"state"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	URL         string    `json:"url"`
	Updated     time.Time `json:"updated_on,omitzero"`
}

// bitbucketWords is what Bitbucket, both Cloud and Data Center, calls the states of a build.
func bitbucketWords() vocabulary { return judged("INPROGRESS", "SUCCESSFUL", "FAILED") }

// bitbucket tells a repository without capital letters, whatever a URL has.
func (l location) bitbucket() (base url.URL, workspace, name string, err error) {
	_, workspace, name, err = l.ownerAndName()
	return url.URL{Scheme: "https", Host: bitbucketAPI}, strings.ToLower(workspace), strings.ToLower(name), err
}

// bitbucketCredential is an access token of a repository, a project or a workspace, which
// stands alone, or an API token, which belongs to the account that is named with it.
func bitbucketCredential(t Target) credential {
	if t.Username != "" {
		return basic(t.Username, t.Token)
	}
	return bearer("Bearer ")(t)
}

func (b bitbucket) path() string { return "/2.0/repositories/" + b.escaped() }

func (b bitbucket) commit(commit string) string {
	return b.path() + "/commit/" + url.PathEscape(commit)
}

// bitbucketList is a list whose pages say whether there is another one.
func bitbucketList[T any](ctx context.Context, a api, path string, query url.Values) iter.Seq2[T, error] {
	type page struct {
		Values []T    `json:"values"`
		Next   string `json:"next"`
	}
	query.Set("pagelen", strconv.Itoa(bitbucketPage))
	return each(numbered[page](ctx, a, path, query), func(p page) ([]T, bool) { return p.Values, p.Next == "" })
}

// set implements statusForge.
func (b bitbucket) set(ctx context.Context, status Status) error {
	return b.api.call(ctx, http.MethodPost, b.commit(status.Commit)+"/statuses/build", nil, b.encode(status), new(bitbucketStatus))
}

// latest implements statusForge.
func (b bitbucket) latest(ctx context.Context, commit, context string) (*Status, error) {
	var held bitbucketStatus
	path := b.commit(commit)
	found, err := b.api.within(ctx, path, path+"/statuses/build/"+keyOfContext(context), nil, &held)
	if !found {
		return nil, err
	}
	status := b.decode(held, commit)
	return &status, nil
}

// fit implements statusForge.
func (b bitbucket) fit(status Status) Status { return b.decode(b.encode(status), status.Commit) }

// encode returns the status as it is sent.
func (b bitbucket) encode(s Status) bitbucketStatus {
	said, s := b.say(bitbucketWords(), s)
	to := cmp.Or(qualifiedURL(s.TargetURL), b.page(s.Commit))
	return bitbucketStatus{Key: keyOfContext(s.Context), State: said, Name: s.Context, Description: s.Description, URL: to}
}

// decode returns the status that Bitbucket answered with.
func (b bitbucket) decode(s bitbucketStatus, commit string) Status {
	state, description := bitbucketWords().hear(s.State, s.Description)
	to := s.URL
	if to == b.page(commit) {
		to = ""
	}
	return Status{Commit: commit, Context: s.Name, State: state, Description: description, TargetURL: to, Time: s.Updated}
}

// page is the commit's.
func (b bitbucket) page(commit string) string {
	return bitbucketWeb + "/" + b.escaped() + "/commits/" + commit
}

// qualifiedURL is the address if Bitbucket Cloud takes it, which takes no host without a
// domain; else nothing.
func qualifiedURL(address string) string {
	address = pageURL(address, bitbucketURL)
	if u, err := url.Parse(address); err != nil || !strings.ContainsAny(u.Hostname(), ".:") {
		return ""
	}
	return address
}

// keyOfContext is the key of a context in letters, digits and dashes, of which every
// path takes every one.
func keyOfContext(context string) string {
	sum := sha256.Sum256([]byte(context))
	suffix := "-" + hex.EncodeToString(sum[:6])
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, context)
	return readable[:min(len(readable), bitbucketKey-len(suffix))] + suffix
}
