package promotion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
)

// delivery is what is promoted.
type delivery struct {
	kav    *lifecyclev1.KeptnAppVersion
	pull   *gitopsv1alpha1.PullRequest
	lc     *gitopsv1alpha1.Lifecycle
	source *gitopsv1alpha1.GitSource
	origin repository.Origin
	repo   *gitsource.Repository
	// url is that of the source, without credentials.
	url string
	// traced says that the delivery has a trace to be named.
	traced bool
}

// delivered finds where a delivery comes from.
func (p *Promoter) delivered(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (*delivery, error) {
	d := &delivery{kav: kav, pull: kav.Spec.PullRequest, lc: &gitopsv1alpha1.Lifecycle{}, source: &gitopsv1alpha1.GitSource{}, traced: p.Traced}
	ref := kav.Spec.Lifecycle
	if d.pull == nil || ref == nil || kav.Spec.Commit == nil {
		return nil, permanent("the delivery names no pull request, no Lifecycle or no commit")
	}
	err := p.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, d.lc)
	if apierrors.IsNotFound(err) {
		return nil, permanent("the Lifecycle %s/%s is gone", ref.Namespace, ref.Name)
	}
	if err != nil {
		return nil, err
	}
	name := d.lc.Labels[gitopsv1alpha1.SourceLabel]
	err = p.Client.Get(ctx, types.NamespacedName{Namespace: d.lc.Namespace, Name: name}, d.source)
	if name == "" || apierrors.IsNotFound(err) {
		return nil, permanent("the Lifecycle %s/%s has no GitSource", ref.Namespace, ref.Name)
	}
	if err != nil {
		return nil, err
	}
	mine, err := trust.Belongs(ctx, p.Client, kav, d.lc, d.source)
	if err != nil {
		return nil, err
	}
	if !mine {
		return nil, permanent("the delivery is not one of the Lifecycle %s/%s", ref.Namespace, ref.Name)
	}
	return d, p.open(ctx, d)
}

// open opens the repository that a delivery comes from.
func (p *Promoter) open(ctx context.Context, d *delivery) (err error) {
	if d.origin, err = p.Repositories.Origin(ctx, d.source); err != nil {
		return fmt.Errorf("GitSource %s: %w", d.source.Name, err)
	}
	if d.url, err = gitsource.PublicURL(d.origin.URL); err != nil {
		return permanent("GitSource %s: %w", d.source.Name, err)
	}
	if d.repo, err = p.Repositories.Open(ctx, d.origin); err != nil {
		return err
	}
	_, err = p.Repositories.Verify(ctx, d.repo, d.origin, d.kav.Spec.Commit.SHA)
	return err
}

// stage is where it is promoted to.
type stage struct {
	// url of the repository, without credentials.
	url   string
	repo  *gitsource.Repository
	pulls forge.PullRequests
	// base is the branch to merge into, and where it is.
	base gitsource.Revision
	// own says that the repository is the one of the delivery.
	own bool
}

// openStage opens the next stage's repository and its forge. It asks neither of them.
func (p *Promoter) openStage(ctx context.Context, d *delivery) (*stage, error) {
	next, err := d.next()
	if err != nil {
		return nil, err
	}
	s := &stage{}
	if s.url, err = gitsource.PublicURL(next.URL); err != nil {
		return nil, permanent("%w", err)
	}
	s.own = gitname.SameRepository(s.url, d.url)
	// What is wrong with the address is told from what is wrong with a Secret.
	target := forge.Target{Repository: next.URL, API: next.APIURL, Token: "none"}
	if _, err := forge.New(string(next.Provider), target); err != nil {
		return nil, permanent("%w", err)
	}
	to, err := p.Repositories.Forge(ctx, next)
	if err != nil {
		return nil, err
	}
	s.pulls = to.PullRequests
	s.repo, err = p.Repositories.Open(ctx, next)
	return s, err
}

// next is where the next stage is. It decides with which Secrets that may be opened:
// what is written in Git must not send them to where its author likes.
func (d *delivery) next() (repository.Origin, error) {
	o := d.origin
	o.Provider = cmp.Or(gitopsv1alpha1.Provider(d.pull.Provider), o.Provider)
	if o.Provider == gitopsv1alpha1.GenericProvider {
		return o, permanent("the provider %q has no pull requests: set promotion.pullRequest.provider", gitopsv1alpha1.GenericProvider)
	}
	if d.pull.Repository == "" && d.pull.SecretRef == nil {
		return o, nil
	}
	o.Source.Name = "" // it is no source's, and nothing of it is kept
	o.URL = cmp.Or(d.pull.Repository, o.URL)
	place, err := d.placeOfStage(o.URL)
	if err != nil {
		return o, err
	}
	return o, d.lend(&o, place)
}

// lend gives a stage at a place the Secrets that it is opened with.
func (d *delivery) lend(o *repository.Origin, place string) error {
	home, err := placeOf(d.origin.URL)
	abroad := err != nil || place != home
	if abroad {
		o.APIURL = ""
	}
	switch ref := d.pull.SecretRef; {
	case ref == nil && abroad:
		return permanent("%s is not where the repository of the GitSource %s is, whose Secrets are for that place only: name another one in promotion.pullRequest.secretRef", place, d.source.Name)
	case ref == nil:
	case !slices.Contains(d.source.Spec.AllowedSecrets, ref.Name):
		return permanent("Secret %q must not be named from Git: the GitSource %s does not have it in spec.allowedSecrets", ref.Name, d.source.Name)
	default:
		o.Secret = types.NamespacedName{Namespace: d.source.Namespace, Name: ref.Name}
		o.Reporting = o.Secret
	}
	return nil
}

// placeOfStage is where the next stage is hosted, if that may be named from Git.
func (d *delivery) placeOfStage(rawURL string) (string, error) {
	place, err := placeOf(rawURL)
	switch {
	case err != nil:
		return "", permanent("promotion.pullRequest.repository: %w", err)
	case repository.HoldsCredentials(d.pull.Repository):
		return "", permanent("promotion.pullRequest.repository must not hold credentials: put them in a Secret, and name it in secretRef")
	case strings.HasPrefix(place, "file:"):
		return "", permanent("promotion.pullRequest.repository is a folder, which has no pull requests: give an https or ssh URL")
	}
	return place, nil
}

// placeOf is where a repository is hosted: the URL without its path.
func placeOf(rawURL string) (string, error) {
	public, err := gitsource.PublicURL(rawURL)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(public)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

// find finds the branch to merge into.
func (s *stage) find(ctx context.Context, d *delivery) (err error) {
	s.base, err = s.fetch(ctx, d)
	switch {
	case err != nil:
		return err
	case s.base.Name == "HEAD":
		return permanent("HEAD of %s is at no branch: set promotion.pullRequest.branch", s.url)
	case s.base.Name == d.branch():
		return permanent("promotion.pullRequest.branch %q is the branch of the pull request itself", s.base.Name)
	}
	return nil
}

// fetch looks at the branch that is named, else at that of the source, else at the one
// that HEAD points at.
func (s *stage) fetch(ctx context.Context, d *delivery) (gitsource.Revision, error) {
	if d.pull.Branch != "" {
		return s.repo.Fetch(ctx, gitsource.Ref{Branch: d.pull.Branch})
	}
	branch, certain := d.origin.Branch()
	revision, err := s.repo.Fetch(ctx, gitsource.Ref{Branch: branch})
	if errors.Is(err, gitsource.ErrRefNotFound) && !certain {
		return s.repo.Fetch(ctx, gitsource.Ref{}) // it is a tag
	}
	return revision, err
}

// watched is the branch that the delivery was read from; empty if it is none, or not
// known.
func (d *delivery) watched() string {
	revision, err := gitsource.ParseRevision(d.source.Status.ObservedRevision)
	if err != nil {
		branch, _ := d.origin.Branch()
		return branch
	}
	return strings.TrimPrefix(revision.Name, "refs/heads/")
}
