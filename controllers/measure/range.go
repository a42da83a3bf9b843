package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
)

// evaluate works out what the deployments did.
func (s *scope) evaluate(ctx context.Context) ([]dora.Service, error) {
	h, err := between(ctx, s.app.Repository, s.app.ChangedBy, s.deployments)
	if err != nil {
		return nil, err
	}
	return dora.Evaluate(ctx, h, s.deployments, dora.Options{
		Paths: s.app.Inputs(), Incidents: s.incidents(), LeadTimeFrom: s.leadTimeFrom(),
	})
}

func (s *scope) leadTimeFrom() dora.LeadTimeFrom {
	if s.lc.Spec.DORA == nil {
		return ""
	}
	return dora.LeadTimeFrom(s.lc.Spec.DORA.LeadTimeFrom)
}

// incidents are those of the app.
func (s *scope) incidents() []dora.Incident {
	incidents := make([]dora.Incident, len(s.lc.Status.Incidents))
	for i, found := range s.lc.Status.Incidents {
		incidents[i] = dora.Incident{
			App: s.lc.Spec.App, Environment: s.origin.Environment,
			ID: found.ID, At: found.StartedAt.Time, Commit: s.deployed(found.Commit),
		}
		if found.ResolvedAt != nil {
			incidents[i].ResolvedAt = found.ResolvedAt.Time
		}
	}
	return incidents
}

// deployed is the commit of the deployment that brought what an incident names, where that
// is of another repository; else what it names, which may be abbreviated.
func (s *scope) deployed(named string) string {
	for _, d := range s.deployments {
		for _, built := range s.code[keyOf(&d)] {
			if named != "" && strings.HasPrefix(built.Commit, named) {
				return d.Commit
			}
		}
	}
	return named
}

// A part is what tells deployed commits apart: the commits that some of them can reach
// and others cannot. What all can reach none of them delivered, however long it is, and
// one commit without parents stands for it.
type part struct {
	repository *gitsource.Repository
	// changes says whether a commit changes what is measured.
	changes func(ctx context.Context, sha string) (bool, error)
	commits map[string]dora.Commit
	// common stands for what all deployed commits can reach.
	common string
}

var _ dora.History = &part{}

// nameless is a commit that no repository has.
const nameless = "0000000000000000000000000000000000000000"

// between reads the part of history that matters for deployments, which are newest
// first: of those that the repository has, what each reaches and the one before it does
// not, which as a rule is what it delivered; and what the first reaches and another one
// does not.
func between(ctx context.Context, repo *gitsource.Repository, changes func(context.Context, string) (bool, error), deployments []dora.Deployment) (*part, error) {
	h := &part{repository: repo, changes: changes, commits: map[string]dora.Commit{}, common: nameless}
	var deployed []string
	for _, d := range slices.Backward(deployments) {
		known, err := h.add(ctx, d.Commit, deployed)
		if err != nil {
			return nil, err
		}
		if known {
			deployed = append(deployed, d.Commit)
		}
	}
	ends := map[string]bool{}
	for i, sha := range deployed {
		if i > 0 && !h.reaches(sha, ends) {
			if err := h.read(ctx, deployed[0], sha); err != nil {
				return nil, err
			}
		}
		ends[sha] = true
	}
	for _, sha := range deployed {
		if _, apart := h.commits[sha]; !apart {
			h.common = sha
		}
	}
	return h, nil
}

// add adds what a deployed commit can reach and the one before it cannot, and says whether
// the repository has it.
func (h *part) add(ctx context.Context, sha string, before []string) (known bool, err error) {
	if _, known := h.commits[sha]; known {
		return true, nil
	}
	if len(before) > 0 {
		err = h.read(ctx, sha, before[len(before)-1])
	} else {
		_, err = h.repository.Commit(ctx, sha)
	}
	switch {
	case errors.Is(err, gitsource.ErrCommitNotFound):
		return false, nil // its outcome tells of it
	case err != nil:
		return false, fmt.Errorf("read commit %s: %w", sha, err)
	default:
		return true, nil
	}
}

// read adds what one commit can reach and another one cannot.
func (h *part) read(ctx context.Context, from, until string) error {
	for c, err := range h.repository.Log(ctx, gitsource.LogOptions{From: from, Until: until}) {
		if err != nil {
			return fmt.Errorf("read history of %s: %w", from, err)
		}
		h.commits[c.SHA] = dora.Commit{
			SHA: c.SHA, Parents: c.Parents, AuthoredAt: c.Author.When, CommittedAt: c.Committer.When, Message: c.Message,
		}
	}
	return nil
}

// reaches says whether a commit can reach any of others; it reaches itself.
func (h *part) reaches(sha string, others map[string]bool) bool {
	seen := map[string]bool{sha: true}
	for todo := []string{sha}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if others[next] {
			return true
		}
		for _, p := range h.commits[next].Parents {
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return false
}

// Commit implements dora.History.
func (h *part) Commit(_ context.Context, sha string) (dora.Commit, error) {
	if sha == h.common {
		return dora.Commit{SHA: sha}, nil
	}
	c, known := h.commits[sha]
	if !known {
		return dora.Commit{}, fmt.Errorf("%w %s: the repository does not have it any more", dora.ErrUnknownCommit, sha)
	}
	c.Parents = slices.Clone(c.Parents)
	for i, p := range c.Parents {
		if _, apart := h.commits[p]; !apart {
			c.Parents[i] = h.common
		}
	}
	return c, nil
}

// Changes implements dora.History: whether a commit changes what is measured, which the
// paths stand for.
func (h *part) Changes(ctx context.Context, sha string, _ []string) (bool, error) {
	return h.changes(ctx, sha)
}
