package forge_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/forge"
)

// azurePull is a pull request as Azure DevOps answers with it: a list shows the first 400
// characters of a description.
func azurePull(p *fakePull, whole bool) map[string]any {
	body := []rune(p.Body)
	if !whole {
		body = body[:min(400, len(body))]
	}
	all := map[string]any{
		"pullRequestId": p.Number, "status": "active", "title": p.Title, "description": string(body),
		"sourceRefName": "refs/heads/" + p.Head.Ref, "targetRefName": "refs/heads/" + p.Base.Ref,
		"url": "https://dev.azure.com/acme/_apis/git/repositories/1/pullRequests/" + itoa(p.Number),
	}
	if p.Head.Repository != 1 {
		all["forkSource"] = map[string]any{"name": "refs/heads/" + p.Head.Ref}
	}
	return all
}

// azureInput is what a pull request is made of, or changed to.
type azureInput struct{ Title, Description, SourceRefName, TargetRefName string }

// tooLong says why it is refused, if it is.
func (in azureInput) tooLong() string {
	switch {
	case longerThan(in.Title, 400):
		return "A title for a pull request must not be longer than 400 characters."
	case longerThan(in.Description, 4000):
		return "A description for a pull request must not be longer than 4000 characters."
	}
	return ""
}

// servePulls has the repository take pull requests.
func (a *fakeAzureDevOps) servePulls(mux *http.ServeMux) {
	pulls := escapedPattern("/tfs/Big Co/My Shop/_apis/git/repositories/web shop/pullrequests")
	mux.HandleFunc("GET "+pulls, a.of(func(w http.ResponseWriter, r *http.Request) {
		skip, _ := strconv.Atoi(r.FormValue("$skip"))
		top, _ := strconv.Atoi(r.FormValue("$top"))
		head, base := r.FormValue("searchCriteria.sourceRefName"), r.FormValue("searchCriteria.targetRefName")
		found := a.between(strings.TrimPrefix(head, "refs/heads/"), strings.TrimPrefix(base, "refs/heads/"))
		if r.FormValue("searchCriteria.status") != "active" {
			found = nil
		}
		found = found[min(skip, len(found)):]
		values := []map[string]any{}
		for _, p := range found[:min(top, len(found))] {
			values = append(values, azurePull(p, false))
		}
		answer(w, http.StatusOK, map[string]any{"count": len(values), "value": values})
	}))
	mux.HandleFunc("POST "+pulls, a.of(func(w http.ResponseWriter, r *http.Request) {
		var in azureInput
		if !decoded(w, r, &in) {
			return
		}
		head, base := strings.TrimPrefix(in.SourceRefName, "refs/heads/"), strings.TrimPrefix(in.TargetRefName, "refs/heads/")
		switch {
		case a.lacks(head, base):
			azureRefuses(w, http.StatusBadRequest, "TF401398: The pull request cannot be activated because the source and/or the target branch no longer exists, or the requested refs are not branches", "GitPullRequestCannotBeActivated")
		case in.tooLong() != "":
			azureRefuses(w, http.StatusBadRequest, "Invalid argument value.\r\nParameter name: "+in.tooLong(), "InvalidArgumentValueException")
		case a.isOpen(head, base):
			azureRefuses(w, http.StatusConflict, "TF401179: An active pull request for the source and target branch already exists.", "GitPullRequestExistsException")
		default:
			answer(w, http.StatusCreated, azurePull(a.addPull(head, base, in.Title, in.Description, false), true))
		}
	}))
	mux.HandleFunc("GET "+pulls+"/{number}", a.of(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, azurePull(a.numbered(r.PathValue("number")), true))
	}))
	mux.HandleFunc("PATCH "+pulls+"/{number}", a.of(func(w http.ResponseWriter, r *http.Request) {
		var in azureInput
		if !decoded(w, r, &in) {
			return
		}
		if why := in.tooLong(); why != "" {
			azureRefuses(w, http.StatusBadRequest, why, "InvalidArgumentValueException")
			return
		}
		p := a.numbered(r.PathValue("number"))
		p.Title, p.Body = in.Title, in.Description
		answer(w, http.StatusOK, azurePull(p, true))
	}))
}

func (a *fakeAzureDevOps) pullBackend(t *testing.T) pullBackend {
	a.page = a.URL + "/tfs/Big%20Co/My%20Shop/_git/web%20shop/pullrequest/"
	return a.backend(mustNew(t, forge.AzureDevOps, a.target(secret)), 380, 3_800)
}

func TestAzureDevOpsPullRequestIsFoundOnAnyPage(t *testing.T) {
	a := newAzureDevOps(t, withBasic(""))
	d := a.pullBackend(t).destination
	mine := a.addPull("a", "main", "one", "", false)
	for range 250 {
		a.addPull("a", "main", "a fork's", "", true)
	}
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
	if err != nil || got.Number != mine.Number || len(a.pulls) != 251 {
		t.Errorf("got %+v of %d, %v", got, len(a.pulls), err)
	}
}
