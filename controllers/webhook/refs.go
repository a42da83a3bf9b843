package webhook

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge/webhook"
)

// byRepository is the field index of GitSources by the identity of their repository, see
// [gitname.Identity]. A source that borrows it has it in its status.
const byRepository = "repository"

// AddIndexes registers the field index that Handler uses.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &gitopsv1alpha1.GitSource{}, byRepository, repositoryOf); err != nil {
		return fmt.Errorf("index GitSources by %s: %w", byRepository, err)
	}
	return nil
}

func repositoryOf(obj client.Object) []string {
	source, ok := obj.(*gitopsv1alpha1.GitSource)
	if !ok {
		return nil
	}
	if id := gitname.Identity(cmp.Or(source.Spec.URL, source.Status.URL)); id != "" {
		return []string{id}
	}
	return nil
}

// watches says whether a source watches what an event has changed. One of which that
// cannot be told does: looking finds out, and says what is wrong.
func (h *Handler) watches(ctx context.Context, source *gitopsv1alpha1.GitSource, event webhook.Event) bool {
	origin, err := h.Origin(ctx, source)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(origin.Refs, func(ref gitsource.Ref) bool {
		if event.Kind == webhook.PullRequestEvent {
			return ofPullRequest(ref, event.PullRequest.Number) ||
				source.Spec.PullRequests != nil && ref.Commit == "" && means(ref, "refs/heads/"+event.PullRequest.Base)
		}
		return moved(ref, event.Updates, source.Status.ObservedRevision)
	})
}

// moved says whether a push can have moved what is watched, where observed is what it
// was last seen at.
func moved(watched gitsource.Ref, by []webhook.Update, observed string) bool {
	if watched.Commit != "" { // which moves by no push, but may come by one
		return !strings.HasSuffix(observed, watched.Commit)
	}
	return len(by) == 0 || slices.ContainsFunc(by, func(u webhook.Update) bool { return means(watched, u.Ref) })
}

// means says whether what is watched may be a ref, in the order of [gitsource.Ref]. HEAD
// may be any branch, and the highest tag of a range any tag.
func means(watched gitsource.Ref, ref string) bool {
	switch {
	case watched.Name != "":
		return ref == watched.Name
	case watched.SemVer != "":
		return strings.HasPrefix(ref, "refs/tags/")
	case watched.Tag != "":
		return ref == "refs/tags/"+watched.Tag
	case watched.Branch != "":
		return ref == "refs/heads/"+watched.Branch
	}
	return strings.HasPrefix(ref, "refs/heads/")
}

// ofPullRequest says whether a ref is one that forges keep for a pull request, of which
// they tell by no push: refs/pull/7/head at GitHub and Gitea, refs/pull/7/merge at those
// and Azure DevOps, refs/merge-requests/7/head at GitLab, refs/pull-requests/7/from at
// Bitbucket Data Center.
func ofPullRequest(watched gitsource.Ref, number int64) bool {
	parts := strings.Split(watched.Name, "/")
	return watched.Commit == "" && len(parts) == 4 && parts[0] == "refs" && parts[2] == strconv.FormatInt(number, 10) &&
		slices.Contains([]string{"pull", "merge-requests", "pull-requests"}, parts[1])
}
