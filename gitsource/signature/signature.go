// Package signature says whether a commit or an annotated tag of Git was signed by one
// of some keys, and by which: with OpenPGP (RFC 9580) or with SSH
// (https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig).
//
// What is signed are the bytes that Git stores, never what they were parsed to. The
// package reads no clock, no repository and no network, looks up no key anywhere, knows
// no web of trust and no certificate authority: a key that is given is trusted, and no
// other. X.509 signatures are recognised, and refused.
package signature

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Why nobody vouches for an object. [Keys.Verify] returns one of them, with the details.
var (
	// ErrUnsigned: the object has no signature.
	ErrUnsigned = errors.New("it has no signature")
	// ErrUnknownKey: it was signed by a key that is not among those that are known.
	ErrUnknownKey = errors.New("it is signed by another one")
	// ErrBadSignature: the signature is none of its content, cannot be read, is of a kind
	// that is not accepted, or its key must not be used any more, or not for this.
	ErrBadSignature = errors.New("its signature does not count")
)

// A Signed is an object as it was signed.
type Signed struct {
	// Payload is what was signed: the object without its signature.
	Payload []byte
	// Signature in armor; empty where there is none.
	Signature string
	// Time is when the object was made, as its maker says: that of the committer, or of
	// the tagger. It is the zero time where it does not say.
	Time time.Time
}

// A Signer is who signed an object.
type Signer struct {
	// Identity is what the key says of its owner: the primary user ID of OpenPGP; the
	// principals of allowed_signers, or the comment of authorized_keys. It may be empty.
	Identity string
	// Fingerprint of the key: 40 or 64 hexadecimal digits of OpenPGP's primary key, or
	// SHA256:… of SSH.
	Fingerprint string
	// Until is when the signature stops to count, since it or its key expires. The zero
	// time is never.
	Until time.Time
}

// String names the signer: the identity, if there is one, and the fingerprint.
func (s Signer) String() string { return strings.TrimSpace(s.Identity + " " + s.Fingerprint) }

// The first lines of signatures, as Git tells their formats apart
// (https://git-scm.com/docs/gitformat-signature).
const (
	pgpBegin        = "-----BEGIN PGP SIGNATURE-----"
	pgpMessageBegin = "-----BEGIN PGP MESSAGE-----"
	sshBegin        = "-----BEGIN SSH SIGNATURE-----"
	x509Begin       = "-----BEGIN SIGNED MESSAGE-----"
)

// maxSignature is how many bytes a signature may have: many times those of the largest key.
const maxSignature = 64 << 10

// Verify says who signed an object. Keys and signatures of OpenPGP must not have expired
// at now; those of SSH have to be valid at the time of the object. The error wraps one
// of [ErrUnsigned], [ErrUnknownKey] and [ErrBadSignature].
func (k *Keys) Verify(s Signed, now time.Time) (Signer, error) {
	text := strings.TrimSpace(s.Signature)
	switch {
	case text == "":
		return Signer{}, ErrUnsigned
	case len(text) > maxSignature:
		return Signer{}, bad("it has more than %d KiB", maxSignature>>10)
	case strings.Count(text, "-----BEGIN ") > 1:
		return Signer{}, bad("there is more than one")
	case strings.HasPrefix(text, pgpBegin):
		return k.verifyPGP(s.Payload, text, now)
	case strings.HasPrefix(text, sshBegin):
		return k.verifySSH(s, text)
	case strings.HasPrefix(text, x509Begin):
		return Signer{}, bad("it is one of X.509 (S/MIME, gitsign), which is not supported: sign with OpenPGP or SSH")
	default:
		return Signer{}, bad("it is neither of OpenPGP nor of SSH")
	}
}

// bad is why a signature does not count.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBadSignature, fmt.Errorf(format, args...))
}

// unknown is that a key is not known, by its name.
func unknown(key string) error { return fmt.Errorf("%w: %s", ErrUnknownKey, key) }
