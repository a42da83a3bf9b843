package webhook

import "cmp"

// gitLabProject is a repository as GitLab has it.
type gitLabProject struct {
	HTTPURL string `json:"git_http_url"`
	SSHURL  string `json:"git_ssh_url"`
	WebURL  string `json:"web_url"`
}

func (p gitLabProject) repository() Repository {
	return Repository{HTTP: p.HTTPURL, SSH: p.SSHURL, HTML: p.WebURL}
}

// readGitLab reads what hooks of projects, groups and whole systems send, by what the
// body says of the event: of a system hook the header says nothing more
// (https://docs.gitlab.com/user/project/integrations/webhook_events/,
// https://docs.gitlab.com/administration/system_hooks/). A hook is tested by a push.
func readGitLab(_ string, body []byte) (Event, error) {
	var told struct {
		Kind string `json:"object_kind"`
		Name string `json:"event_name"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	name := cmp.Or(told.Kind, told.Name)
	read := map[string]func([]byte) (Event, error){
		"push": readGitLabPush, "tag_push": readGitLabPush, "repository_update": readGitLabUpdate,
		"merge_request": readGitLabMergeRequest,
	}[name]
	if read == nil {
		return Event{Kind: Other, Name: name}, nil
	}
	event, err := read(body)
	event.Name = name
	return event, err
}

func readGitLabPush(body []byte) (Event, error) {
	var push struct {
		Ref     string        `json:"ref"`
		After   string        `json:"after"`
		Project gitLabProject `json:"project"`
	}
	if err := decode(body, &push); err != nil {
		return Event{}, err
	}
	return pushed(push.Project.repository(), []Update{{Ref: push.Ref, After: push.After}})
}

// readGitLabUpdate reads the event of system hooks that tells all refs of one push.
func readGitLabUpdate(body []byte) (Event, error) {
	var told struct {
		Project gitLabProject `json:"project"`
		Changes []struct {
			Ref   string `json:"ref"`
			After string `json:"after"`
		} `json:"changes"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	updates := make([]Update, len(told.Changes))
	for i, c := range told.Changes {
		updates[i] = Update{Ref: c.Ref, After: c.After}
	}
	return pushed(told.Project.repository(), updates)
}

func readGitLabMergeRequest(body []byte) (Event, error) {
	var told struct {
		Project    gitLabProject `json:"project"`
		Attributes struct {
			Number       int64          `json:"iid"`
			Action       string         `json:"action"`
			SourceBranch string         `json:"source_branch"`
			TargetBranch string         `json:"target_branch"`
			SourceID     int64          `json:"source_project_id"`
			TargetID     int64          `json:"target_project_id"`
			Source       *gitLabProject `json:"source"`
			LastCommit   struct {
				ID string `json:"id"`
			} `json:"last_commit"`
		} `json:"object_attributes"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	mr := told.Attributes
	pr := PullRequest{
		Number: mr.Number, Action: gitLabAction(mr.Action),
		Head: mr.LastCommit.ID, HeadBranch: mr.SourceBranch, Base: mr.TargetBranch, Fork: mr.SourceID != mr.TargetID,
	}
	if mr.Source != nil {
		pr.HeadRepository = mr.Source.repository()
	}
	return changed(told.Project.repository(), pr)
}

func gitLabAction(action string) Action {
	switch action {
	case "open", "reopen":
		return Opened
	case "close", "merge":
		return Closed
	}
	return Updated
}
