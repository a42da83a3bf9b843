package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const pgpKeyBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// maxSkew is how far the clock of a signer may be ahead of ours.
const maxSkew = 5 * time.Minute

// parsePGP reads all blocks of a text.
func parsePGP(text []byte) (openpgp.EntityList, error) {
	var all openpgp.EntityList
	blocks := strings.Split(string(text), pgpKeyBegin)
	for i, block := range blocks[1:] {
		found, err := openpgp.ReadArmoredKeyRing(strings.NewReader(pgpKeyBegin + block))
		if err != nil {
			return nil, fmt.Errorf("OpenPGP block %d: %w", i+1, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// verifyPGP says which of the OpenPGP keys signed.
func (k *Keys) verifyPGP(payload []byte, text string, now time.Time) (Signer, error) {
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		return Signer{}, bad("it cannot be read: %w", err)
	}
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(block.Body); err != nil {
		return Signer{}, bad("it cannot be read: %w", err)
	}
	sig, by, err := k.checkPGP(payload, raw.Bytes(), now)
	if err != nil && sig != nil && sig.CreationTime.After(now) && sig.CreationTime.Sub(now) < maxSkew {
		sig, by, err = k.checkPGP(payload, raw.Bytes(), sig.CreationTime)
	}
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return Signer{}, unknown("OpenPGP " + issuer(raw.Bytes()))
	case err != nil && by != nil:
		return Signer{}, bad("of %s: %w", signerPGP(by), err)
	case err != nil:
		return Signer{}, bad("%w", err)
	}
	return lasting(sig, by), nil
}

// checkPGP verifies a signature as of a time. The signature is returned, and whose it is,
// also where it fits but has expired, or its key has or was revoked.
func (k *Keys) checkPGP(payload, raw []byte, now time.Time) (*packet.Signature, *openpgp.Entity, error) {
	config := &packet.Config{Time: func() time.Time { return now }}
	sig, by, err := openpgp.VerifyDetachedSignature(k.pgp, bytes.NewReader(payload), bytes.NewReader(raw), config)
	if err != nil {
		return sig, by, err
	}
	switch sig.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return nil, by, fmt.Errorf("the hash %s is not safe: sign with SHA-256 or better", sig.Hash)
	}
	if sig.SigType != packet.SigTypeBinary {
		return nil, by, errors.New("it is not of the very bytes of the object")
	}
	return sig, by, nil
}

// issuer names the key that a signature says it is of.
func issuer(raw []byte) string {
	p, err := packet.Read(bytes.NewReader(raw))
	sig, ok := p.(*packet.Signature)
	switch {
	case err != nil || !ok:
		return "without a name"
	case len(sig.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "without a name"
}

func signerPGP(e *openpgp.Entity) Signer {
	s := Signer{Fingerprint: fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)}
	if id := e.PrimaryIdentity(); id != nil {
		s.Identity = id.Name
	}
	return s
}

// lasting is the signer, and until when the signature counts: as long as neither it nor
// what binds its key expires.
func lasting(sig *packet.Signature, by *openpgp.Entity) Signer {
	s := signerPGP(by)
	until := func(from time.Time, seconds *uint32) {
		if seconds == nil || *seconds == 0 {
			return
		}
		if end := from.Add(time.Duration(*seconds) * time.Second); s.Until.IsZero() || end.Before(s.Until) {
			s.Until = end
		}
	}
	until(sig.CreationTime, sig.SigLifetimeSecs)
	if self, _ := by.PrimarySelfSignature(); self != nil {
		until(by.PrimaryKey.CreationTime, self.KeyLifetimeSecs)
		until(self.CreationTime, self.SigLifetimeSecs)
	}
	for _, sub := range by.Subkeys {
		if sig.IssuerKeyId != nil && sub.PublicKey.KeyId == *sig.IssuerKeyId {
			until(sub.PublicKey.CreationTime, sub.Sig.KeyLifetimeSecs)
			until(sub.Sig.CreationTime, sub.Sig.SigLifetimeSecs)
			if cross := sub.Sig.EmbeddedSignature; cross != nil {
				until(cross.CreationTime, cross.SigLifetimeSecs)
			}
		}
	}
	return s
}
