package promotion

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
)

// delivery is what is promoted.
type delivery struct {
	kav    *lifecyclev1.KeptnAppVersion
	pull   *gitopsv1alpha1.PullRequest
	lc     *gitopsv1alpha1.Lifecycle
	source *gitopsv1alpha1.GitSource
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
	if d.url, err = gitsource.PublicURL(d.source.Spec.URL); err != nil {
		return nil, permanent("GitSource %s: %w", d.source.Name, err)
	}
	d.repo, err = p.Repositories.Open(ctx, d.source)
	return d, err
}

// stage is where it is promoted to.
type stage struct {
	// url of the repository, without credentials.
	url string
	// named is what the repository is opened as.
	named string
	repo  *gitsource.Repository
	pulls forge.PullRequests
	// base is the branch to merge into, and where it is.
	base gitsource.Revision
	// own says that the repository is the one of the delivery.
	own bool
}

func (s *stage) key(namespace string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: s.named}
}

// openStage opens the next stage's repository and its forge. It asks neither of them.
func (p *Promoter) openStage(ctx context.Context, d *delivery) (*stage, error) {
	described, err := d.stageSource()
	if err != nil {
		return nil, err
	}
	s := &stage{named: described.Name}
	if s.url, err = gitsource.PublicURL(described.Spec.URL); err != nil {
		return nil, permanent("%w", err)
	}
	s.own = sameRepository(s.url, d.url)
	// What is wrong with the address is told from what is wrong with a Secret.
	target := forge.Target{Repository: described.Spec.URL, API: described.Spec.Statuses.APIURL, Token: "none"}
	if _, err := forge.New(string(described.Spec.Provider), target); err != nil {
		return nil, permanent("%w", err)
	}
	to, err := p.Repositories.Destination(ctx, described)
	if err != nil {
		return nil, err
	}
	s.pulls = to.PullRequests
	s.repo, err = p.Repositories.Open(ctx, described)
	return s, err
}

// credentials in the URL of a web server, which the API refuses in a GitSource too.
var credentials = regexp.MustCompile(`(?i)^https?://[^/]*@`)

// stageSource describes the next stage as a GitSource. It decides with which Secrets it
// may be opened: what is written in Git must not send them to where its author likes.
func (d *delivery) stageSource() (*gitopsv1alpha1.GitSource, error) {
	s := d.source.DeepCopy()
	s.Spec.Provider = gitopsv1alpha1.Provider(cmp.Or(d.pull.Provider, string(d.source.Spec.Provider)))
	if s.Spec.Provider == "" || s.Spec.Provider == gitopsv1alpha1.GenericProvider {
		return nil, permanent("the provider %q has no pull requests: set promotion.pullRequest.provider", gitopsv1alpha1.GenericProvider)
	}
	if s.Spec.Statuses == nil {
		s.Spec.Statuses = &gitopsv1alpha1.Statuses{}
	}
	if d.pull.Repository == "" && d.pull.SecretRef == nil {
		return s, nil
	}
	// Nothing else has a name like this one.
	s.Name = "promotion/" + string(d.kav.UID)
	s.Spec.URL = cmp.Or(d.pull.Repository, d.source.Spec.URL)
	place, err := d.placeOfStage(s.Spec.URL)
	if err != nil {
		return nil, err
	}
	return s, d.lend(s, place)
}

// lend gives a stage at a place the Secrets that it is opened with.
func (d *delivery) lend(s *gitopsv1alpha1.GitSource, place string) error {
	home, err := placeOf(d.source.Spec.URL)
	abroad := err != nil || place != home
	if abroad {
		s.Spec.Statuses.APIURL = ""
	}
	switch ref := d.pull.SecretRef; {
	case ref == nil && abroad:
		return permanent("%s is not where the repository of the GitSource %s is, whose Secrets are for that place only: name another one in promotion.pullRequest.secretRef", place, d.source.Name)
	case ref == nil:
	case !slices.Contains(d.source.Spec.AllowedSecrets, ref.Name):
		return permanent("Secret %q must not be named from Git: the GitSource %s does not have it in spec.allowedSecrets", ref.Name, d.source.Name)
	default:
		s.Spec.SecretRef, s.Spec.Statuses.SecretRef = ref, &meta.LocalObjectReference{Name: ref.Name}
	}
	return nil
}

// placeOfStage is where the next stage is hosted, if that may be named from Git.
func (d *delivery) placeOfStage(rawURL string) (string, error) {
	place, err := placeOf(rawURL)
	switch {
	case err != nil:
		return "", permanent("promotion.pullRequest.repository: %w", err)
	case credentials.MatchString(d.pull.Repository):
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

// sameRepository says whether two URLs without credentials name one repository: by one
// way or the other, with Git's extension or without.
func sameRepository(a, b string) bool {
	first, err := url.Parse(a)
	if err != nil {
		return a == b
	}
	second, err := url.Parse(b)
	if err != nil {
		return a == b
	}
	trim := func(u *url.URL) string { return strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git") }
	return first.Hostname() == second.Hostname() && strings.EqualFold(trim(first), trim(second))
}

// find finds the branch to merge into.
func (s *stage) find(ctx context.Context, d *delivery) (err error) {
	s.base, err = s.repo.Fetch(ctx, gitsource.Ref{Branch: cmp.Or(d.pull.Branch, d.sourceBranch())})
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

// sourceBranch is the branch that the source names; empty if it names none.
func (d *delivery) sourceBranch() string {
	ref := d.source.Spec.Ref
	if ref == nil {
		return ""
	}
	if branch, is := strings.CutPrefix(ref.Name, "refs/heads/"); is {
		return branch
	}
	return ref.Branch
}

// watched is the branch that the delivery was read from; empty if it is none, or not
// known.
func (d *delivery) watched() string {
	revision, err := gitsource.ParseRevision(d.source.Status.ObservedRevision)
	if err != nil {
		return d.sourceBranch()
	}
	return strings.TrimPrefix(revision.Name, "refs/heads/")
}
