package webhook

import "strings"

// hubRepository is a repository as GitHub, Gitea and Forgejo have it.
type hubRepository struct {
	ID       int64  `json:"id"`
	CloneURL string `json:"clone_url"`
	SSHURL   string `json:"ssh_url"`
	HTMLURL  string `json:"html_url"`
}

func (r hubRepository) repository() Repository {
	return Repository{HTTP: r.CloneURL, SSH: r.SSHURL, HTML: r.HTMLURL}
}

// hubPush is what a push says.
type hubPush struct {
	Ref        string        `json:"ref"`
	After      string        `json:"after"`
	Repository hubRepository `json:"repository"`
}

// hubPullRequest is what an event of a pull request says. The repository of its head is
// null if it is gone.
type hubPullRequest struct {
	Action      string `json:"action"`
	Number      int64  `json:"number"`
	PullRequest struct {
		Head hubBranch `json:"head"`
		Base hubBranch `json:"base"`
	} `json:"pull_request"`
	Repository hubRepository `json:"repository"`
}

type hubBranch struct {
	Ref  string         `json:"ref"`
	SHA  string         `json:"sha"`
	Repo *hubRepository `json:"repo"`
}

// readGitHub reads what GitHub and GitHub Enterprise Server send
// (https://docs.github.com/en/webhooks/webhook-events-and-payloads).
func readGitHub(name string, body []byte) (Event, error) {
	switch name {
	case "push":
		return readHubPush(body)
	case "pull_request":
		return readHubPullRequest(body)
	case "ping":
		return Event{Kind: Ping}, nil
	}
	return Event{Kind: Other}, nil
}

// readGitea reads what Gitea and Forgejo send (https://docs.gitea.com/usage/repository/webhooks,
// https://forgejo.org/docs/latest/user/webhooks/). They tell of a deleted branch or tag by
// an event of its own, and test a hook by a push.
func readGitea(name string, body []byte) (Event, error) {
	switch name {
	case "push":
		return readHubPush(body)
	case "delete":
		return readGiteaDelete(body)
	case "pull_request":
		return readHubPullRequest(body)
	}
	return Event{Kind: Other}, nil
}

func readHubPush(body []byte) (Event, error) {
	var push hubPush
	if err := decode(body, &push); err != nil {
		return Event{}, err
	}
	return pushed(push.Repository.repository(), []Update{{Ref: push.Ref, After: push.After}})
}

// readGiteaDelete reads of a deleted ref, which goes by its short name.
func readGiteaDelete(body []byte) (Event, error) {
	var deleted struct {
		Ref        string        `json:"ref"`
		RefType    string        `json:"ref_type"`
		Repository hubRepository `json:"repository"`
	}
	if err := decode(body, &deleted); err != nil {
		return Event{}, err
	}
	ref := deleted.Ref
	switch {
	case strings.HasPrefix(ref, "refs/"):
	case deleted.RefType == "tag":
		ref = "refs/tags/" + ref
	case deleted.RefType == "branch":
		ref = "refs/heads/" + ref
	}
	return pushed(deleted.Repository.repository(), []Update{{Ref: ref}})
}

func readHubPullRequest(body []byte) (Event, error) {
	var told hubPullRequest
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	head, base := told.PullRequest.Head, told.PullRequest.Base
	pr := PullRequest{
		Number: told.Number, Action: hubAction(told.Action),
		Head: head.SHA, HeadBranch: head.Ref, Base: base.Ref,
		Fork: head.Repo == nil || head.Repo.ID != told.Repository.ID,
	}
	if head.Repo != nil {
		pr.HeadRepository = head.Repo.repository()
	}
	return changed(told.Repository.repository(), pr)
}

func hubAction(action string) Action {
	switch action {
	case "opened", "reopened":
		return Opened
	case "closed":
		return Closed
	}
	return Updated
}
