package evidence

import (
	"context"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/image"
)

// Keys of an artifact's metadata
// (https://fluxcd.io/flux/components/source/ocirepositories/#artifact).
const (
	originRevisionKey = "org.opencontainers.image.revision"
	originSourceKey   = "org.opencontainers.image.source"
)

// source is a GitRepository, an OCIRepository, a Bucket or an ExternalArtifact, as
// far as it tells commits.
type source struct {
	document `json:"-"`

	Spec struct {
		URL string `json:"url"`
	} `json:"spec"`
	Status struct {
		Artifact *meta.Artifact `json:"artifact"`
	} `json:"status"`
}

// source reads a source. One that is gone says nothing; what was applied from it
// still does.
func (d *documents) source(ctx context.Context, of document) (*source, error) {
	s := &source{}
	_, err := d.get(ctx, of, s)
	s.document = of
	return s, err
}

// explain is the claim that a revision of the source was applied.
func (s *source) explain(by string, a applied) Explanation {
	c := Claim{Evidence: Applier, By: by, Revision: a.revision, At: a.at, Doubt: a.doubt}
	if s.GroupVersionKind == gitRepositoryKind {
		c.Repository, c.Commit = gitname.PublicURL(s.Spec.URL), gitCommit(a.revision)
		return Explanation{Claims: []Claim{c}}
	}
	origin, repository := s.origin(a)
	c.Repository, c.Commit = repository, image.CommitIn(origin)
	if origin == "" && a.underway {
		return pending("%s: %s does not say any more where %s comes from, the end of the reconciliation will", by, s.document, a.revision)
	}
	return Explanation{Claims: []Claim{c}}
}

// origin is the revision and the repository that an artifact was made of. What the
// artifact itself says counts only while it is the one that was applied; its
// repository rarely changes.
func (s *source) origin(a applied) (revision, repository string) {
	revision = a.origin
	if s.Status.Artifact == nil {
		return revision, ""
	}
	said := s.Status.Artifact.Metadata
	if revision == "" && s.Status.Artifact.Revision == a.revision {
		revision = said[originRevisionKey]
	}
	return revision, gitname.PublicURL(said[originSourceKey])
}

// gitCommit is the commit of a GitRepository's revision: main@sha1:…, v1.2.3@sha1:…,
// sha1:…, or with sha256 in a repository that uses it.
func gitCommit(revision string) string {
	if at := strings.LastIndex(revision, "sha256:"); at >= 0 {
		revision = revision[at+len("sha256:"):]
	}
	return image.CommitIn(revision)
}
