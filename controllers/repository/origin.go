package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/gitsource"
)

// An Origin is where a GitSource reads from and reports to: what it says itself, and
// what it borrows.
type Origin struct {
	// Source is the GitSource. What is opened is kept for it; without a name nothing is.
	Source types.NamespacedName
	// URL of the repository. It may hold the user of an SSH server.
	URL string
	// Refs are what is watched: the first that the remote has.
	Refs []gitsource.Ref
	// Secret to read the repository with; without a name there is none.
	Secret types.NamespacedName
	// Proxy is the Secret of the proxy to go through; without a name there is none of its
	// own.
	Proxy types.NamespacedName
	// Timeout is how long a conversation with the remote may take; zero is as long as the
	// Store allows.
	Timeout time.Duration
	// Paths are the folders, or globs of folders, that deploy the environment; none
	// stands for the whole tree.
	Paths []string

	// Verify says whose signatures commits need; nil is nobody's.
	Verify *Verification
	// Observed is the revision that the source had when its remote was last looked at.
	Observed gitsource.Revision

	// Provider is the kind of server.
	Provider gitopsv1alpha1.Provider
	// APIURL of the forge; empty where it is derived from URL.
	APIURL string
	// Reporting is the Secret to report to the forge with, or where the provider is
	// generic to push Git notes with; without a name there is none of its own.
	Reporting types.NamespacedName
	// Notes has verdicts kept as Git notes as well as at the forge.
	Notes bool
	// Deployments shows deployments as those of the forge, too.
	Deployments bool
	// Environment is what the source deploys to.
	Environment string
	// ContextPrefix is what the contexts of statuses begin with, see [ContextPrefix].
	ContextPrefix string
}

// Origin finds out where a source reads from and reports to. [Problem] tells which
// errors are for a person to mend.
func (r *Repositories) Origin(ctx context.Context, source *gitopsv1alpha1.GitSource) (Origin, error) {
	spec := &source.Spec
	within := func(ref *meta.LocalObjectReference) types.NamespacedName {
		if ref == nil {
			return types.NamespacedName{}
		}
		return types.NamespacedName{Namespace: source.Namespace, Name: ref.Name}
	}
	o := Origin{
		Source:      client.ObjectKeyFromObject(source),
		URL:         spec.URL,
		Refs:        []gitsource.Ref{refOf(spec.Ref)},
		Secret:      within(spec.SecretRef),
		Proxy:       within(spec.ProxySecretRef),
		Timeout:     remote.Timeout(source),
		Paths:       spec.Paths,
		Provider:    cmp.Or(spec.Provider, gitopsv1alpha1.GenericProvider),
		Environment: spec.Environment,
	}
	statuses := spec.Statuses
	if statuses == nil {
		statuses = &gitopsv1alpha1.Statuses{}
	}
	o.APIURL, o.Reporting, o.Notes = statuses.APIURL, within(statuses.SecretRef), statuses.Notes
	o.Deployments = statuses.Deployments
	o.ContextPrefix = ContextPrefix(source)
	if revision, err := gitsource.ParseRevision(source.Status.ObservedRevision); err == nil {
		o.Observed, o.Observed.Tag = revision, source.Status.ObservedTag
	}
	verify := spec.Verify
	if spec.SourceRef != nil {
		lent, err := r.borrow(ctx, source)
		if err != nil {
			return Origin{}, fmt.Errorf("spec.sourceRef: %w", err)
		}
		o.take(lent, spec)
		verify = cmp.Or(verify, lent.verify)
	}
	if verify == nil {
		return o, nil
	}
	var err error
	if o.Verify, err = r.verification(ctx, verify.Mode, within(&verify.SecretRef)); err != nil {
		return Origin{}, err
	}
	return o, nil
}

// ContextPrefix is what the contexts of a source's statuses begin with:
// <prefix>/<environment>.
func ContextPrefix(source *gitopsv1alpha1.GitSource) string {
	prefix := "keptn"
	if statuses := source.Spec.Statuses; statuses != nil {
		prefix = cmp.Or(statuses.ContextPrefix, prefix)
	}
	return prefix + "/" + source.Spec.Environment
}

// take adds what is lent to an origin, but for what the source says itself.
func (o *Origin) take(lent loan, spec *gitopsv1alpha1.GitSourceSpec) {
	o.URL = lent.url
	if spec.Ref == nil {
		o.Refs = lent.refs
	}
	if spec.SecretRef == nil {
		o.Secret = lent.secret
	}
	if spec.ProxySecretRef == nil {
		o.Proxy = lent.proxy
	}
	if len(spec.Paths) == 0 {
		o.Paths = lent.paths
	}
}

func refOf(ref *gitopsv1alpha1.GitRef) gitsource.Ref {
	if ref == nil {
		return gitsource.Ref{}
	}
	return gitsource.Ref{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}

// PublicURL is the URL without user and password, in one spelling for all that lead to
// one place. It is empty where the URL is none, which Open says.
func (o Origin) PublicURL() string {
	public, err := gitsource.PublicURL(o.URL)
	if err != nil {
		return ""
	}
	return public
}

// Server is the host of the repository, with its port; empty for a folder of this machine.
func (o Origin) Server() string {
	public, err := url.Parse(o.PublicURL())
	if err != nil {
		return ""
	}
	return public.Host
}

// KeepsNotes says whether verdicts, and the record of deployments, are kept as Git notes.
func (o Origin) KeepsNotes() bool {
	return o.Notes || o.Provider == gitopsv1alpha1.GenericProvider
}

// Looks tells what is looked at, and with which Secrets, from what was before.
func (o Origin) Looks() string { return fmt.Sprintf("%q %q %s %s", o.URL, o.Refs, o.Secret, o.Proxy) }

// Fetch looks at the remote: at the first of the origin's refs that it has.
func (o Origin) Fetch(ctx context.Context, repo *gitsource.Repository) (gitsource.Revision, error) {
	var missing error
	for _, ref := range o.Refs {
		revision, err := repo.Fetch(ctx, ref)
		if !errors.Is(err, gitsource.ErrRefNotFound) {
			return revision, err
		}
		if missing == nil {
			missing = err
		} else {
			missing = fmt.Errorf("%w; %w", missing, err)
		}
	}
	return gitsource.Revision{}, missing
}

// Branch is the name of the branch that the source names, empty if it names none. It is
// not certain where it may as well be that of a tag.
func (o Origin) Branch() (name string, certain bool) {
	for _, ref := range o.Refs {
		if branch, full := strings.CutPrefix(ref.Name, "refs/heads/"); full {
			return branch, len(o.Refs) == 1
		}
		if ref.Branch != "" {
			return ref.Branch, len(o.Refs) == 1
		}
	}
	return "", true
}

var (
	address     = regexp.MustCompile(`^(https?|ssh|file)://.+|^[^@/]+@[^:/]+:.+`)
	credentials = regexp.MustCompile(`(?i)^https?://[^/]*@`)
)

// HoldsCredentials says whether the URL of a web server has a user or a password in it.
func HoldsCredentials(address string) bool { return credentials.MatchString(address) }

// checkURL says what is wrong with a URL that the API server did not check, by the rules
// that it has for spec.url. The error wraps [ErrAddress], and does not repeat what may be
// a password.
func checkURL(url string) error {
	switch {
	case HoldsCredentials(url):
		return fmt.Errorf("%w: it must not hold credentials: put them in a Secret and name it in spec.secretRef", ErrAddress)
	case !address.MatchString(url):
		return fmt.Errorf("%w: it has to be https://…, http://…, ssh://…, file://… or user@host:path", ErrAddress)
	}
	return nil
}
