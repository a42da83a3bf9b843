package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/signature"
)

// How many signatures that count, and sets of keys, are kept in memory, over all sources.
const (
	rememberedSignatures = 4096
	rememberedKeys       = 64
)

// A Verification says whose signatures the commits of an origin need.
type Verification struct {
	// Mode says what has to be signed.
	Mode gitopsv1alpha1.VerificationMode
	// Secret holds the keys that are known.
	Secret types.NamespacedName

	// keys are those of the Secret when the origin was found out; refused says why there
	// are none.
	keys    *signature.Keys
	refused *Unverified
}

// Unverified says why nothing of a commit is honoured: it is not signed by whom it should
// be, or nobody can tell.
type Unverified struct {
	// Reason is that of a condition that tells of it.
	Reason string
	err    error
}

// Error implements error, in one line. It does not name the commit, on which it is shown.
func (u *Unverified) Error() string { return strings.Join(strings.Fields(u.err.Error()), " ") }

// Unwrap returns one of the errors of package signature, if the signature is the reason.
func (u *Unverified) Unwrap() error { return u.err }

func unverified(reason, format string, args ...any) *Unverified {
	return &Unverified{Reason: reason, err: fmt.Errorf(format, args...)}
}

// verification reads the keys that a source asks for, with each origin anew: a key that
// was taken away counts no more. Keys that cannot be had are no error of the origin: it
// can be read, and told so, but nothing of it is honoured.
func (r *Repositories) verification(ctx context.Context, mode gitopsv1alpha1.VerificationMode, name types.NamespacedName) (*Verification, error) {
	v := &Verification{Mode: mode, Secret: name}
	if mode == "" {
		v.Mode = gitopsv1alpha1.VerifyHEAD
	}
	secret, err := r.secret(ctx, name)
	if errors.Is(err, ErrSecret) {
		v.refused = unverified(gitopsv1alpha1.VerificationErrorReason, "signatures cannot be verified: no Secret %q in namespace %q: create it with the public keys that are known", name.Name, name.Namespace)
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	known := name.String() + "/" + secret.ResourceVersion
	if keys, ok := r.keys.Get(known); ok && secret.ResourceVersion != "" {
		v.keys = keys.(*signature.Keys) //nolint:forcetypeassert // nothing else is put in
		return v, nil
	}
	if v.keys, err = signature.ParseKeys(secret.Data); err != nil {
		v.refused = unverified(gitopsv1alpha1.VerificationErrorReason, "signatures cannot be verified: Secret %q: %w", name.Name, err)
		return v, nil
	}
	r.keys.Add(known, v.keys)
	return v, nil
}

// ofFlux is the verification that a GitRepository lends within its namespace. One that is
// abroad has to be repeated: what was asked for there must not be passed over in silence.
func ofFlux(g *sourcev1.GitRepository, source *gitopsv1alpha1.GitSource) (*gitopsv1alpha1.Verification, error) {
	asked := g.Spec.Verification
	if asked == nil || source.Spec.Verify != nil {
		return nil, nil //nolint:nilnil // none is asked for, or the source says it itself
	}
	if g.Namespace != source.Namespace {
		return nil, fmt.Errorf("%w: it asks for signatures, and its Secret %q is not lent to another namespace: give spec.verify with one of this namespace", ErrSecret, asked.SecretRef.Name)
	}
	mode := gitopsv1alpha1.VerificationMode(asked.Mode)
	if strings.EqualFold(string(mode), string(gitopsv1alpha1.VerifyHEAD)) {
		mode = gitopsv1alpha1.VerifyHEAD
	}
	return &gitopsv1alpha1.Verification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: asked.SecretRef.Name}}, nil
}

// Verify says who has signed what an origin asks to be signed of a commit; it is empty
// where that is nothing. The error is *[Unverified] where nothing of the commit is to be
// honoured, else one of the repository. A signature that counts is verified once for each
// set of keys.
func (r *Repositories) Verify(ctx context.Context, repo *gitsource.Repository, o Origin, sha string) (by string, err error) {
	v := o.Verify
	switch {
	case v == nil:
		return "", nil
	case v.refused != nil:
		return "", v.refused
	}
	var signed []string
	if v.Mode != gitopsv1alpha1.VerifyHEAD {
		tagger, err := r.verifyTag(ctx, repo, o, sha)
		if err != nil {
			return "", err
		}
		signed = append(signed, fmt.Sprintf("tag %s is signed by %s", o.Observed.Name, tagger))
	}
	if v.Mode != gitopsv1alpha1.VerifyTag {
		committer, err := r.verifyCommit(ctx, repo, v.keys, sha)
		if err != nil {
			return "", err
		}
		signed = append(signed, fmt.Sprintf("commit %s is signed by %s", gitname.Short(sha), committer))
	}
	return strings.Join(signed, ", "), nil
}

func (r *Repositories) verifyCommit(ctx context.Context, repo *gitsource.Repository, keys *signature.Keys, sha string) (signature.Signer, error) {
	return r.signer(sha, keys, func() (signature.Signed, error) {
		return repo.CommitSignature(ctx, sha)
	}, func(err error) *Unverified {
		return unverified(gitopsv1alpha1.InvalidCommitSignatureReason, "not signed by a known key: %w", err)
	})
}

// verifyTag verifies the tag that the observed revision was found by, which vouches for
// all that leads to it.
func (r *Repositories) verifyTag(ctx context.Context, repo *gitsource.Repository, o Origin, sha string) (signature.Signer, error) {
	rev := o.Observed
	refused := func(err error) *Unverified {
		return unverified(gitopsv1alpha1.InvalidTagSignatureReason, "tag %s is not signed by a known key: %w", rev.Name, err)
	}
	switch {
	case !slices.ContainsFunc(o.Refs, isTag):
		return signature.Signer{}, unverified(gitopsv1alpha1.InvalidVerificationModeReason, "verify.mode %s asks for a signed tag, and no tag is watched: give ref.tag, ref.semver, or ref.name with refs/tags/…", o.Verify.Mode)
	case rev.Tag == "":
		return signature.Signer{}, refused(fmt.Errorf("%w: it is no annotated tag, as git tag -s makes it", signature.ErrUnsigned))
	}
	tagger, err := r.signer(rev.Name+" "+rev.Commit+" "+rev.Tag, o.Verify.keys, func() (signature.Signed, error) {
		tag, err := repo.TagSignature(ctx, rev)
		return tag.Signed, err
	}, refused)
	if err != nil || sha == rev.Commit {
		return tagger, err
	}
	reached, err := repo.IsAncestor(ctx, sha, rev.Commit)
	if err == nil && !reached {
		err = unverified(gitopsv1alpha1.InvalidTagSignatureReason, "not signed by a known key: the tag %s does not lead to it", rev.Name)
	}
	return tagger, err
}

func isTag(ref gitsource.Ref) bool {
	if ref.Name != "" {
		return ref.Commit == "" && strings.HasPrefix(ref.Name, "refs/tags/")
	}
	return ref.Commit == "" && (ref.SemVer != "" || ref.Tag != "")
}

// signer says who signed an object, from memory as long as that counts. What was read of
// it and does not count is refused.
func (r *Repositories) signer(object string, keys *signature.Keys, read func() (signature.Signed, error), refused func(error) *Unverified) (signature.Signer, error) {
	key, now := object+" "+keys.Digest(), r.now()
	if known, ok := r.signers.Get(key); ok {
		if s := known.(signature.Signer); s.Until.IsZero() || now.Before(s.Until) { //nolint:forcetypeassert // nothing else is put in
			return s, nil
		}
	}
	signed, err := read()
	if errors.Is(err, signature.ErrBadSignature) {
		return signature.Signer{}, refused(err)
	}
	if err != nil {
		return signature.Signer{}, err
	}
	s, err := keys.Verify(signed, now)
	if err != nil {
		return signature.Signer{}, refused(err)
	}
	r.signers.Add(key, s)
	return s, nil
}

// maxUnverified is how far back a commit is looked for that may be honoured.
const maxUnverified = 50

// honoured is the newest commit up to one of which anything is honoured; where there is
// none it is empty, and refused says why the newest is not.
func (r *Repositories) honoured(ctx context.Context, repo *gitsource.Repository, o Origin, newest string) (sha string, refused *Unverified, err error) {
	if _, err := r.Verify(ctx, repo, o, newest); !errors.As(err, &refused) {
		return newest, nil, err
	}
	if o.Verify.refused != nil {
		return "", refused, nil
	}
	for c, err := range repo.Log(ctx, gitsource.LogOptions{From: newest, Limit: maxUnverified}) {
		if err != nil {
			return "", refused, fmt.Errorf("look for a signed commit: %w", err)
		}
		var no *Unverified
		if _, err := r.Verify(ctx, repo, o, c.SHA); !errors.As(err, &no) {
			return c.SHA, refused, err
		}
	}
	return "", refused, nil
}
