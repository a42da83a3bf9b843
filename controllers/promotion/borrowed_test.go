package promotion_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/promotion"
)

// borrowed has the source borrow its repository, and its Secret, from Flux.
func (w *world) borrowed(branch string) {
	w.others = append(w.others, &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "lender"},
		Spec: sourcev1.GitRepositorySpec{
			URL: w.repo.URL, SecretRef: &meta.LocalObjectReference{Name: "git"}, Reference: &sourcev1.GitRepositoryRef{Branch: branch},
		},
	})
	w.source.Spec.URL, w.source.Spec.SecretRef = "", nil
	w.source.Spec.SourceRef = &gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: "lender"}
}

func TestADeliveryFromABorrowedRepositoryIsPromoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repo.Git("branch", "trunk", "main")
	w.borrowed("trunk")
	result := w.promote(t)
	if len(w.gitea.pulls) != 1 || !strings.Contains(result.Message, "to trunk of "+w.repo.URL) {
		t.Errorf("%d pull requests: %+v", len(w.gitea.pulls), result)
	}
}

func TestSecretsAreLentToThePlaceOfTheBorrowedRepositoryAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.borrowed("main")
	w.kav.Spec.PullRequest.Repository = "https://elsewhere.example.com/acme/live.git"
	_, err := w.promoter(t).Promote(t.Context(), w.kav)
	var permanent *promotion.PermanentError
	if !errors.As(err, &permanent) || !strings.Contains(err.Error(), "name another one in promotion.pullRequest.secretRef") {
		t.Errorf("got %v", err)
	}
	if w.gitea.asked > 0 {
		t.Errorf("the forge was asked %d times", w.gitea.asked)
	}
}
