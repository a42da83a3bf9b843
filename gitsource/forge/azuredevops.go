package forge

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// azureVersion is the version of the API, which Azure DevOps Server has from 2022.1 on.
	azureVersion = "7.1"
	// azurePage is how many statuses are asked for at once, the default of the API.
	azurePage = 1000
	// azureURL is the length of a target URL, in characters; no limit is documented.
	azureURL = 1000
)

// azureDevOps speaks with Azure DevOps Services and Azure DevOps Server. It writes commit
// statuses by https://learn.microsoft.com/rest/api/azure/devops/git/statuses. What is above
// a repository is its project; the organization, or the collection, is in the base URL.
//
// A context is a genre, which is what is before the first slash, and a name. Each status
// is kept; the latest of a context has the highest id.
//
// States: Pending is "pending", Success "succeeded", Failure "failed", Error "error". A
// Warning is "succeeded" with a description that begins with "Warning: ". What others
// write, as "notSet" and "notApplicable", is read as an Error.
type azureDevOps struct{ site }

// azureStatus is GitStatus of the API.
type azureStatus struct {
	ID          int64        `json:"id,omitempty"`
	State       string       `json:"state"`
	Description string       `json:"description"`
	TargetURL   string       `json:"targetUrl,omitempty"`
	Context     azureContext `json:"context"`
	Created     time.Time    `json:"creationDate,omitzero"`
}

// azureContext is GitStatusContext of the API.
type azureContext struct {
	Genre string `json:"genre,omitempty"`
	Name  string `json:"name"`
}

// azureContextOf splits a context, so that String joins it again.
func azureContextOf(context string) azureContext {
	if genre, name, found := strings.Cut(context, "/"); found && genre != "" && name != "" {
		return azureContext{Genre: genre, Name: name}
	}
	return azureContext{Name: context}
}

// String is the context as a page shows it.
func (c azureContext) String() string {
	if c.Genre == "" {
		return c.Name
	}
	return c.Genre + "/" + c.Name
}

// azureWords is what Azure DevOps calls the states of a status.
func azureWords() vocabulary {
	return vocabulary{
		{Pending, "pending", ""},
		{Warning, "succeeded", warningText}, {Success, "succeeded", ""},
		{Failure, "failed", ""},
		{Error, "error", ""},
	}
}

// adaptAzureDevOps names the organization before the project: one host has many.
func adaptAzureDevOps(d *Destination, s site, _ Target) {
	d.Repository = strings.TrimPrefix(s.api.base.Path+"/"+s.repository(), "/")
}

// azureCredential is a personal access token, which is a password without a user, or one
// of Microsoft Entra, which is a JSON Web Token.
func azureCredential(target Target) credential {
	if strings.HasPrefix(string(target.Token), "eyJ") && strings.Count(string(target.Token), ".") == 2 {
		return inHeader("Authorization", "Bearer ", target.Token)
	}
	return basic(target.Username, target.Token)
}

// path is that of the repository in the API.
func (a azureDevOps) path() string {
	return "/" + url.PathEscape(a.owner) + "/_apis/git/repositories/" + url.PathEscape(a.name)
}

func (a azureDevOps) statuses(commit string) string {
	return a.path() + "/commits/" + url.PathEscape(commit) + "/statuses"
}

// call asks in the version of the API that is spoken here.
func (a azureDevOps) call(ctx context.Context, method, path string, in, out any) error {
	return a.api.call(ctx, method, path, url.Values{"api-version": {azureVersion}}, in, out)
}

// azureList is a list of which so many are asked for at once, and so many skipped before.
func azureList[T any](ctx context.Context, a azureDevOps, path string, query url.Values, skip, top string, size int) iter.Seq2[T, error] {
	type page struct {
		Value []T `json:"value"`
	}
	query.Set("api-version", azureVersion)
	query.Set(top, strconv.Itoa(size))
	return each(counted[page](ctx, a.api, path, query, skip, 0, size), func(p page) ([]T, bool) { return p.Value, len(p.Value) < size })
}

// set implements statusForge.
func (a azureDevOps) set(ctx context.Context, status Status) error {
	return a.call(ctx, http.MethodPost, a.statuses(status.Commit), a.encode(status), new(azureStatus))
}

// latest implements statusForge.
func (a azureDevOps) latest(ctx context.Context, commit, context string) (*Status, error) {
	wanted := azureContextOf(context)
	all := azureList[*azureStatus](ctx, a, a.statuses(commit), url.Values{"latestOnly": {"true"}}, "skip", "top", azurePage)
	held, err := newest(all, func(s *azureStatus) (int64, bool) { return s.ID, s.Context == wanted })
	return decoded(held, commit, err)
}

// fit implements statusForge.
func (a azureDevOps) fit(status Status) Status { return a.encode(status).decode(status.Commit) }

// encode returns the status as it is sent.
func (a azureDevOps) encode(s Status) azureStatus {
	said, s := a.say(azureWords(), s)
	return azureStatus{State: said, Description: s.Description, TargetURL: pageURL(s.TargetURL, azureURL), Context: azureContextOf(s.Context)}
}

// decode returns the status that Azure DevOps answered with.
func (s azureStatus) decode(commit string) Status {
	state, description := azureWords().hear(s.State, s.Description)
	return Status{Commit: commit, Context: s.Context.String(), State: state, Description: description, TargetURL: s.TargetURL, Time: s.Created}
}
