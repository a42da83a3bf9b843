package repository

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource"
)

// NewApplication returns an empty Application of Argo CD, to be read into.
func NewApplication() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: gitopsv1alpha1.ApplicationKind})
	return u
}

// applicationSpec is the part of an Application that says where manifests are written
// (https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/).
type applicationSpec struct {
	Source         *applicationSource  `json:"source"`
	Sources        []applicationSource `json:"sources"`
	SourceHydrator *struct {
		DrySource applicationSource `json:"drySource"`
	} `json:"sourceHydrator"`
}

// applicationSource is one place of manifests: a folder of a Git repository, unless it
// is a chart or a registry.
type applicationSource struct {
	RepoURL        string `json:"repoURL"`
	Path           string `json:"path"`
	TargetRevision string `json:"targetRevision"`
	TagPrefix      string `json:"tagPrefix"`
	Chart          string `json:"chart"`
	Ref            string `json:"ref"`
	Name           string `json:"name"`
}

func (s applicationSource) git() bool {
	return s.RepoURL != "" && s.Chart == "" && !strings.HasPrefix(s.RepoURL, "oci://")
}

// ofApplication is what an Application lends to a source. It has no Secret: Argo CD
// keeps those apart.
func ofApplication(application *unstructured.Unstructured, source *gitopsv1alpha1.GitSource) (loan, error) {
	var a struct {
		Spec applicationSpec `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(application.Object, &a); err != nil {
		return loan{}, fmt.Errorf("%w: %w", ErrUnclear, err)
	}
	chosen, err := a.Spec.chosen(source.Spec.SourceRef)
	if err != nil {
		return loan{}, fmt.Errorf("%w: %w", ErrUnclear, err)
	}
	lent := loan{url: chosen[0].RepoURL}
	for _, s := range chosen {
		if s.Path != "" && !slices.Contains(lent.paths, path.Clean(s.Path)) {
			lent.paths = append(lent.paths, path.Clean(s.Path))
		}
	}
	if slices.Contains(lent.paths, ".") {
		lent.paths = nil // the whole tree
	}
	if source.Spec.Ref != nil {
		return lent, nil
	}
	if lent.refs, err = chosen[0].refs(); err != nil {
		return loan{}, fmt.Errorf("%w: %w", ErrUnclear, err)
	}
	return lent, nil
}

// chosen are the sources that a reference means: all of one repository at one revision.
func (a *applicationSpec) chosen(ref *gitopsv1alpha1.SourceReference) ([]applicationSource, error) {
	switch {
	case a.SourceHydrator != nil:
		// What is deployed is made from what authors write, and that is followed.
		return single(a.SourceHydrator.DrySource)
	case len(a.Sources) > 0:
		return ofSeveral(a.Sources, ref)
	case a.Source != nil:
		return single(*a.Source)
	}
	return nil, errors.New("it has no source")
}

func single(s applicationSource) ([]applicationSource, error) {
	if !s.git() {
		return nil, fmt.Errorf("its source %s is not a Git repository", s)
	}
	return []applicationSource{s}, nil
}

// ofSeveral picks the source that is named, else those of the only Git repository.
func ofSeveral(all []applicationSource, ref *gitopsv1alpha1.SourceReference) ([]applicationSource, error) {
	if at := int(ref.SourcePosition); at > 0 {
		if at > len(all) {
			return nil, fmt.Errorf("it has %d sources, and sourcePosition is %d", len(all), at)
		}
		return single(all[at-1])
	}
	if ref.SourceName != "" {
		i := slices.IndexFunc(all, func(s applicationSource) bool { return s.Name == ref.SourceName || s.Ref == ref.SourceName })
		if i < 0 {
			return nil, fmt.Errorf("none of its %d sources has the name or ref %q", len(all), ref.SourceName)
		}
		return single(all[i])
	}
	var git []applicationSource
	for _, s := range all {
		if !s.git() {
			continue
		}
		if len(git) > 0 && !git[0].sameCommits(s) {
			return nil, fmt.Errorf("its sources are of several Git repositories or revisions, as %s and %s: name one in spec.sourceRef.sourceName or sourcePosition", git[0], s)
		}
		git = append(git, s)
	}
	if len(git) == 0 {
		return nil, fmt.Errorf("none of its %d sources is a Git repository", len(all))
	}
	return git, nil
}

// String is the repository and the revision, as people write them.
func (s applicationSource) String() string {
	url, err := gitsource.PublicURL(s.RepoURL)
	if err != nil {
		url = "no URL"
	}
	return url + "@" + s.revision()
}

// sameCommits says whether two sources are of one repository at one revision.
func (s applicationSource) sameCommits(other applicationSource) bool {
	return s.String() == other.String() && s.TagPrefix == other.TagPrefix
}

func (s applicationSource) revision() string { return cmp.Or(s.TargetRevision, "HEAD") }

var fullCommit = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)

// refs are what the target revision may mean, in the order of Argo CD: a commit; a full
// name; the highest tag of a semver range; a branch; a tag
// (https://argo-cd.readthedocs.io/en/stable/user-guide/tracking_strategies/#git).
func (s applicationSource) refs() ([]gitsource.Ref, error) {
	revision := s.revision()
	switch {
	case revision == "HEAD":
		return []gitsource.Ref{{}}, nil
	case fullCommit.MatchString(revision):
		return []gitsource.Ref{{Commit: strings.ToLower(revision)}}, nil
	case strings.HasPrefix(revision, "refs/"):
		return []gitsource.Ref{{Name: revision}}, nil
	}
	if _, err := semver.NewVersion(revision); err == nil {
		revision = s.TagPrefix + revision
		return []gitsource.Ref{{Branch: revision}, {Tag: revision}}, nil
	}
	named := []gitsource.Ref{{Branch: revision}, {Tag: revision}}
	if _, err := semver.NewConstraint(revision); err != nil {
		return named, nil //nolint:nilerr // it is no range, but a name
	}
	if s.TagPrefix != "" {
		return nil, fmt.Errorf("the range %q of tags that begin with %q cannot be followed: give spec.ref", revision, s.TagPrefix)
	}
	return append([]gitsource.Ref{{SemVer: revision}}, named...), nil
}
