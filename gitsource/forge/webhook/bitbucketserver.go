package webhook

// bitbucketServerRepository is a repository as Bitbucket Data Center has it. Its
// documentation leaves out the links, which are there since version 5.14
// (https://jira.atlassian.com/browse/BSERV-10704).
type bitbucketServerRepository struct {
	ID    int64 `json:"id"`
	Links struct {
		Clone []struct {
			Href string `json:"href"`
			Name string `json:"name"`
		} `json:"clone"`
	} `json:"links"`
}

func (r bitbucketServerRepository) repository() Repository {
	var all Repository
	for _, link := range r.Links.Clone {
		if link.Name == "ssh" {
			all.SSH = link.Href
		} else {
			all.HTTP = link.Href
		}
	}
	return all
}

// bitbucketServerActions are the events of a pull request that are about its branches.
func bitbucketServerActions() map[string]Action {
	return map[string]Action{
		"pr:opened": Opened, "pr:reopened": Opened,
		"pr:from_ref_updated": Updated, "pr:to_ref_updated": Updated, "pr:modified": Updated,
		"pr:merged": Closed, "pr:declined": Closed, "pr:deleted": Closed,
	}
}

// readBitbucketServer reads what Bitbucket Data Center sends
// (https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html).
func readBitbucketServer(name string, body []byte) (Event, error) {
	switch name {
	case "diagnostics:ping":
		return Event{Kind: Ping}, nil
	case "repo:refs_changed":
		return readBitbucketServerPush(body)
	}
	action, known := bitbucketServerActions()[name]
	if !known {
		return Event{Kind: Other}, nil
	}
	type side struct {
		ID           string                    `json:"id"`
		LatestCommit string                    `json:"latestCommit"`
		Repository   bitbucketServerRepository `json:"repository"`
	}
	var told struct {
		PullRequest struct {
			ID      int64 `json:"id"`
			FromRef side  `json:"fromRef"`
			ToRef   side  `json:"toRef"`
		} `json:"pullRequest"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	from, to := told.PullRequest.FromRef, told.PullRequest.ToRef
	return changed(to.Repository.repository(), PullRequest{
		Number: told.PullRequest.ID, Action: action,
		Head: from.LatestCommit, HeadBranch: branch(from.ID), Base: branch(to.ID),
		Fork: from.Repository.ID != to.Repository.ID, HeadRepository: from.Repository.repository(),
	})
}

func readBitbucketServerPush(body []byte) (Event, error) {
	var told struct {
		Repository bitbucketServerRepository `json:"repository"`
		Changes    []struct {
			Ref struct {
				ID string `json:"id"`
			} `json:"ref"`
			ToHash string `json:"toHash"`
		} `json:"changes"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	updates := make([]Update, len(told.Changes))
	for i, c := range told.Changes {
		updates[i] = Update{Ref: c.Ref.ID, After: c.ToHash}
	}
	return pushed(told.Repository.repository(), updates)
}
