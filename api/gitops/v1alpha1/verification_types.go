package v1alpha1

import "github.com/fluxcd/pkg/apis/meta"

// SourceVerifiedCondition is True when the observed revision is signed by a known
// key, False when it is not, and absent where no signatures are asked for. It is
// Flux's: https://fluxcd.io/flux/components/source/gitrepositories/#verification.
const SourceVerifiedCondition = "SourceVerified"

// Reasons of SourceVerifiedCondition, and of Ready, where it is False, as Flux has them.
const (
	// InvalidCommitSignatureReason: the commit is not signed by a known key.
	InvalidCommitSignatureReason = "InvalidCommitSignature"
	// InvalidTagSignatureReason: the tag is not signed by a known key.
	InvalidTagSignatureReason = "InvalidTagSignature"
	// InvalidVerificationModeReason: a tag is to be signed, and none is watched.
	InvalidVerificationModeReason = "InvalidVerificationMode"
	// VerificationErrorReason: the Secret with the known keys is missing or unusable.
	VerificationErrorReason = "VerificationError"
)

// VerificationMode says what has to be signed.
//
// +kubebuilder:validation:Enum=HEAD;Tag;TagAndHEAD
type VerificationMode string

// Verification modes, as Flux's GitRepository has them.
const (
	// VerifyHEAD asks every commit to be signed that anything is taken from.
	VerifyHEAD VerificationMode = "HEAD"
	// VerifyTag asks the watched tag to be signed, which vouches for the commit that it
	// is about and for all that led to it.
	VerifyTag VerificationMode = "Tag"
	// VerifyTagAndHEAD asks for both.
	VerifyTagAndHEAD VerificationMode = "TagAndHEAD"
)

// Verification says whose signature commits need.
type Verification struct {
	// Mode says what has to be signed: HEAD, each commit that anything is taken from; Tag,
	// the watched tag; TagAndHEAD, both. Default HEAD.
	// +optional
	// +kubebuilder:default=HEAD
	Mode VerificationMode `json:"mode,omitempty"`

	// SecretRef names a Secret with the public keys that are known: each value holds
	// OpenPGP keys in armor, or SSH keys as authorized_keys or allowed_signers have them,
	// whatever its name.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}
