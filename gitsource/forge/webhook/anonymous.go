package webhook

import (
	"errors"
	"strings"
)

// readAnonymous reads what no header names: an event of Azure DevOps, or else a generic
// one, which names a repository.
func readAnonymous(_ string, body []byte) (Event, error) {
	var told struct {
		ID        string `json:"id"`
		EventType string `json:"eventType"`

		Repository string `json:"repository"`
		Ref        string `json:"ref"`
		Commit     string `json:"commit"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	if told.EventType != "" {
		event, err := readAzureDevOps(told.EventType, body)
		event.Forge, event.Name, event.Delivery = AzureDevOps, told.EventType, told.ID
		return event, err
	}
	if told.Ref == "" && told.Commit != "" {
		return Event{}, errors.New("ref: is missing beside commit")
	}
	var updates []Update
	if told.Ref != "" {
		updates = []Update{{Ref: told.Ref, After: told.Commit}}
	}
	event, err := pushed(Repository{HTTP: told.Repository}, updates)
	event.Name = "push"
	return event, err
}

// azureRepository is a repository as Azure DevOps has it.
type azureRepository struct {
	RemoteURL string `json:"remoteUrl"`
	SSHURL    string `json:"sshUrl"`
	WebURL    string `json:"webUrl"`
}

func (r azureRepository) repository() Repository {
	return Repository{HTTP: r.RemoteURL, SSH: r.SSHURL, HTML: r.WebURL}
}

// readAzureDevOps reads what service hooks of Azure DevOps send
// (https://learn.microsoft.com/en-us/azure/devops/service-hooks/events). It signs nothing,
// and says all in the body.
func readAzureDevOps(name string, body []byte) (Event, error) {
	switch {
	case name == "git.push":
		return readAzurePush(body)
	case strings.HasPrefix(name, "git.pullrequest."):
		return readAzurePullRequest(name, body)
	}
	return Event{Kind: Other}, nil
}

func readAzurePush(body []byte) (Event, error) {
	var told struct {
		Resource struct {
			RefUpdates []struct {
				Name        string `json:"name"`
				NewObjectID string `json:"newObjectId"`
			} `json:"refUpdates"`
			Repository azureRepository `json:"repository"`
		} `json:"resource"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	updates := make([]Update, len(told.Resource.RefUpdates))
	for i, u := range told.Resource.RefUpdates {
		updates[i] = Update{Ref: u.Name, After: u.NewObjectID}
	}
	return pushed(told.Resource.Repository.repository(), updates)
}

func readAzurePullRequest(name string, body []byte) (Event, error) {
	var told struct {
		Resource struct {
			ID           int64           `json:"pullRequestId"`
			Status       string          `json:"status"`
			SourceRef    string          `json:"sourceRefName"`
			TargetRef    string          `json:"targetRefName"`
			Repository   azureRepository `json:"repository"`
			SourceCommit struct {
				ID string `json:"commitId"`
			} `json:"lastMergeSourceCommit"`
			ForkSource *struct {
				Repository azureRepository `json:"repository"`
			} `json:"forkSource"`
		} `json:"resource"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	r := told.Resource
	pr := PullRequest{
		Number: r.ID, Action: azureAction(name, r.Status),
		Head: r.SourceCommit.ID, HeadBranch: branch(r.SourceRef), Base: branch(r.TargetRef),
		Fork: r.ForkSource != nil, HeadRepository: r.Repository.repository(),
	}
	if r.ForkSource != nil {
		pr.HeadRepository = r.ForkSource.Repository.repository()
	}
	return changed(r.Repository.repository(), pr)
}

// azureAction tells by the status what an update was: git.pullrequest.merged is sent
// when Azure DevOps has tried whether it could merge.
func azureAction(name, status string) Action {
	switch {
	case status == "completed" || status == "abandoned":
		return Closed
	case name == "git.pullrequest.created":
		return Opened
	}
	return Updated
}
