package gitsource

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// A Ref says which commit of a repository is meant. If several fields are set the
// first of Commit, Name, SemVer, Tag, Branch counts, as in Flux's GitRepository; if
// none is, it is the branch that the remote's HEAD points at.
type Ref struct {
	// Branch is a branch's short name. Beside Commit it only names the revision.
	Branch string
	// Tag is a tag's short name.
	Tag string
	// SemVer is a range, for example ">=1.0.0 <2.0.0"; the highest tag in it counts. Tags
	// may begin with "v"; prereleases count if the range names one.
	SemVer string
	// Name is a ref's full name, for example refs/pull/1/head.
	Name string
	// Commit is a full object name: 40 hexadecimal digits.
	Commit string
}

// A Revision is a commit, and the ref it was found by.
type Revision struct {
	// Name is the short name of the branch or tag, the full name if the [Ref] gave it,
	// "HEAD" for a detached one, or "" for a bare commit.
	Name string
	// Commit is the full object name.
	Commit string
	// Tag is the full object name of the annotated tag that leads to the commit; empty
	// where it was found otherwise.
	Tag string
}

// tagPrefix begins the full names of tags.
const tagPrefix = "refs/tags/"

// String writes the revision as Flux does: main@sha1:<commit>, or sha1:<commit>
// without a name.
func (r Revision) String() string {
	if r.Name == "" {
		return "sha1:" + r.Commit
	}
	return r.Name + "@sha1:" + r.Commit
}

var revision = regexp.MustCompile(`^(?:(.+)@sha1:|sha1:|(.+)/)?([0-9a-f]{40})$`)

// ParseRevision reads what [Revision.String] writes, Flux's former main/<commit>, and
// a bare commit as Argo CD has it.
func ParseRevision(s string) (Revision, error) {
	m := revision.FindStringSubmatch(s)
	if m == nil {
		return Revision{}, fmt.Errorf("revision %q: want name@sha1:<40 hexadecimal digits>", s)
	}
	return Revision{Name: m[1] + m[2], Commit: m[3]}, nil
}

// parseCommit reads a full object name.
func parseCommit(s string) (plumbing.Hash, error) {
	if len(s) != hex.EncodedLen(len(plumbing.Hash{})) || !gitname.IsCommit(s) {
		return plumbing.ZeroHash, fmt.Errorf("commit %q: want 40 hexadecimal digits", s)
	}
	return plumbing.NewHash(s), nil
}

// refs is what a repository's refs are at.
type refs struct {
	// at maps full names to commits; annotated tags are peeled.
	at map[string]plumbing.Hash
	// tags maps full names to the annotated tags that at leads past.
	tags map[string]plumbing.Hash
	// head is the full name of the branch HEAD points at, or "HEAD" if it is detached.
	head string
}

// refsOf are the refs of a remote.
func refsOf(said wire.Refs) refs {
	r := refs{at: maps.Clone(said.At), tags: make(map[string]plumbing.Hash, len(said.Peeled)), head: said.Head}
	if r.at == nil {
		r.at = map[string]plumbing.Hash{}
	}
	for name, hash := range said.Peeled {
		r.tags[name] = said.At[name]
		r.at[name] = hash
	}
	if _, ok := r.at["HEAD"]; ok && r.head == "" {
		r.head = "HEAD"
	}
	return r
}

// prefixes are how the names begin of the refs that may be meant. HEAD is always asked
// for, so that a ref that is not there is told from a repository without any.
func (r Ref) prefixes() []string {
	switch {
	case r.Commit != "":
		return []string{"HEAD"}
	case r.Name != "":
		return []string{"HEAD", r.Name}
	case r.SemVer != "":
		return []string{"HEAD", "refs/tags/"}
	case r.Tag != "":
		return []string{"HEAD", "refs/tags/" + r.Tag}
	case r.Branch != "":
		return []string{"HEAD", "refs/heads/" + r.Branch}
	}
	return []string{"HEAD"}
}

// resolve finds the commit that ref means.
func (r refs) resolve(ref Ref) (Revision, error) {
	switch {
	case ref.Commit != "":
		hash, err := parseCommit(ref.Commit)
		return Revision{Name: ref.Branch, Commit: hash.String()}, err
	case ref.Name != "":
		return r.find(ref.Name, ref.Name)
	case ref.SemVer != "":
		return r.highest(ref.SemVer)
	case ref.Tag != "":
		return r.find(tagPrefix+ref.Tag, ref.Tag)
	case ref.Branch != "":
		return r.find("refs/heads/"+ref.Branch, ref.Branch)
	case r.head == "" || r.at[r.head].IsZero() && r.at["HEAD"].IsZero():
		return Revision{}, fmt.Errorf("%w: HEAD points at no branch with commits; name a branch", ErrRefNotFound)
	}
	if hash, ok := r.at["HEAD"]; ok {
		return Revision{Name: strings.TrimPrefix(r.head, "refs/heads/"), Commit: hash.String()}, nil
	}
	return r.find(r.head, strings.TrimPrefix(r.head, "refs/heads/"))
}

func (r refs) find(full, name string) (Revision, error) {
	hash, ok := r.at[full]
	if !ok {
		return Revision{}, fmt.Errorf("%w: there is no %s", ErrRefNotFound, full)
	}
	rev := Revision{Name: name, Commit: hash.String()}
	if tag, annotated := r.tags[full]; annotated {
		rev.Tag = tag.String()
	}
	return rev, nil
}

// highest finds the tag with the highest version in the range. Of tags with one
// version (v1.0.0 and 1.0.0, or with other build metadata) the last by name counts.
func (r refs) highest(constraint string) (Revision, error) {
	within, err := semver.NewConstraint(constraint)
	if err != nil {
		return Revision{}, fmt.Errorf("semver range %q: %w", constraint, err)
	}
	var best *semver.Version
	var name string
	for full := range r.at {
		tag, ok := strings.CutPrefix(full, tagPrefix)
		if !ok {
			continue
		}
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if err != nil || !within.Check(v) {
			continue
		}
		if best == nil || cmp.Or(v.Compare(best), cmp.Compare(tag, name)) > 0 {
			best, name = v, tag
		}
	}
	if best == nil {
		return Revision{}, fmt.Errorf("%w: no tag is in the semver range %q", ErrRefNotFound, constraint)
	}
	return r.find(tagPrefix+name, name)
}

// branchesAndTags are the commits that together reach all there is to fetch.
func (r refs) branchesAndTags() []plumbing.Hash {
	var tips []plumbing.Hash
	for name, hash := range r.at {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, tagPrefix) {
			tips = append(tips, hash)
		}
	}
	return unique(tips)
}
