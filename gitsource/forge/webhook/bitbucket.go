package webhook

// bitbucketRepository is a repository as Bitbucket Cloud has it: only the address of its
// page is said, below which it is cloned.
type bitbucketRepository struct {
	UUID  string `json:"uuid"`
	Links struct {
		HTML struct {
			Href string `json:"href"`
		} `json:"html"`
	} `json:"links"`
}

func (r bitbucketRepository) repository() Repository { return Repository{HTML: r.Links.HTML.Href} }

// bitbucketRef is a branch or a tag. It is null on one side of a change that creates or
// deletes one.
type bitbucketRef struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Target struct {
		Hash string `json:"hash"`
	} `json:"target"`
}

func (r bitbucketRef) full() string {
	if r.Type == "tag" || r.Type == "annotated_tag" {
		return "refs/tags/" + r.Name
	}
	return "refs/heads/" + r.Name
}

// bitbucketActions are the events of a pull request that are about its branches.
func bitbucketActions() map[string]Action {
	return map[string]Action{
		"pullrequest:created": Opened, "pullrequest:updated": Updated,
		"pullrequest:fulfilled": Closed, "pullrequest:rejected": Closed,
	}
}

// readBitbucket reads what Bitbucket Cloud sends
// (https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/). It has no event
// to test a hook.
func readBitbucket(name string, body []byte) (Event, error) {
	if name == "repo:push" {
		return readBitbucketPush(body)
	}
	action, known := bitbucketActions()[name]
	if !known {
		return Event{Kind: Other}, nil
	}
	type side struct {
		Branch struct {
			Name string `json:"name"`
		} `json:"branch"`
		Commit struct {
			Hash string `json:"hash"`
		} `json:"commit"`
		Repository *bitbucketRepository `json:"repository"`
	}
	var told struct {
		Repository  bitbucketRepository `json:"repository"`
		PullRequest struct {
			ID          int64 `json:"id"`
			Source      side  `json:"source"`
			Destination side  `json:"destination"`
		} `json:"pullrequest"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	source := told.PullRequest.Source
	pr := PullRequest{
		Number: told.PullRequest.ID, Action: action,
		Head: source.Commit.Hash, HeadBranch: source.Branch.Name, Base: told.PullRequest.Destination.Branch.Name,
		Fork: source.Repository == nil || source.Repository.UUID != told.Repository.UUID,
	}
	if source.Repository != nil {
		pr.HeadRepository = source.Repository.repository()
	}
	return changed(told.Repository.repository(), pr)
}

func readBitbucketPush(body []byte) (Event, error) {
	var told struct {
		Repository bitbucketRepository `json:"repository"`
		Push       struct {
			Changes []struct {
				Old *bitbucketRef `json:"old"`
				New *bitbucketRef `json:"new"`
			} `json:"changes"`
		} `json:"push"`
	}
	if err := decode(body, &told); err != nil {
		return Event{}, err
	}
	updates := make([]Update, 0, len(told.Push.Changes))
	for _, c := range told.Push.Changes {
		switch {
		case c.New != nil:
			updates = append(updates, Update{Ref: c.New.full(), After: c.New.Target.Hash})
		case c.Old != nil:
			updates = append(updates, Update{Ref: c.Old.full()})
		}
	}
	return pushed(told.Repository.repository(), updates)
}
