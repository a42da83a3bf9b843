package signature_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/signature"
)

func TestACommitSignedByAKnownSSHKeyIsThatOfItsOwner(t *testing.T) {
	ed, rsa := sshSigner(t, ssh.KeyAlgoED25519), sshSigner(t, ssh.KeyAlgoRSA)
	cases := map[string]struct {
		reason string
		by     ssh.Signer
		keys   func(line string) string
		want   string
	}{
		"Ed25519":     {"What most use.", ed, func(l string) string { return l }, "ann@laptop"},
		"ECDSA":       {"Of NIST's curves.", sshSigner(t, ssh.KeyAlgoECDSA256), func(l string) string { return l }, "ann@laptop"},
		"ECDSA521":    {"The largest of them.", sshSigner(t, ssh.KeyAlgoECDSA521), func(l string) string { return l }, "ann@laptop"},
		"RSA":         {"Signs by rsa-sha2-512.", rsa, func(l string) string { return l }, "ann@laptop"},
		"SecurityKey": {"A device signs with a counter.", sshSigner(t, ssh.KeyAlgoSKED25519), func(l string) string { return l }, "ann@laptop"},
		"Windows":     {"Lines end as they do there.", ed, func(l string) string { return "# keys\r\n\r\n" + l + "\r\n" }, "ann@laptop"},
		"Several":     {"Any of them may sign.", ed, func(l string) string { return line(rsa) + "\n" + l }, "ann@laptop"},
		"Principals":  {"As allowed_signers have it.", ed, func(l string) string { return "ann@example.com,ann@acme.example " + l }, "ann@example.com,ann@acme.example"},
		"Quoted":      {"A principal may be quoted.", ed, func(l string) string { return `"Ann Author" ` + l }, "Ann Author"},
		"Options": {"Limits that hold.", ed, func(l string) string {
			return `ann namespaces="file,git",valid-after="20260101",valid-before="20270101Z" ` + l
		}, "ann"},
		"OptionsAlone": {"Before a key without principals.", ed, func(l string) string { return `namespaces="g*" ` + l }, "ann@laptop"},
		"Exactly":      {"To the second.", ed, func(l string) string { return `valid-after="20260303120000Z",valid-before="202603031200" ` + l }, "ann@laptop"},
		"Renewed":      {"One of its lines lets the key sign.", ed, func(l string) string { return `ann valid-before="20250101" ` + l + "\nann2 " + l }, "ann2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			signed := signature.OfCommit(signedCommit(sshSign(t, tc.by, commit, "git")))
			got, err := keys(t, tc.keys(line(tc.by))).Verify(signed, noon)
			want := signature.Signer{Identity: tc.want, Fingerprint: ssh.FingerprintSHA256(tc.by.PublicKey())}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestWhatNoKnownSSHKeyHasSignedIsRefused(t *testing.T) {
	ann, eve := sshSigner(t, ssh.KeyAlgoED25519), sshSigner(t, ssh.KeyAlgoED25519)
	good := sshSign(t, ann, commit, "git")
	cases := map[string]struct {
		reason    string
		keys      string
		signature string
		want      error
		says      string
	}{
		"Unknown":     {"Anybody can make a key.", line(ann), sshSign(t, eve, commit, "git"), signature.ErrUnknownKey, ssh.FingerprintSHA256(eve.PublicKey())},
		"OtherText":   {"It is of another commit.", line(ann), sshSign(t, ann, commit+"x", "git"), signature.ErrBadSignature, "ann@laptop"},
		"Namespace":   {"A file that Ann signed is no commit of hers.", line(ann), sshSign(t, ann, commit, "file"), signature.ErrBadSignature, "namespace"},
		"NotForGit":   {"Her key is for other things.", `ann namespaces="file" ` + line(ann), good, signature.ErrBadSignature, `not one for the namespace "git"`},
		"NeverGit":    {"A negated pattern goes before others.", `ann namespaces="*,!git" ` + line(ann), good, signature.ErrBadSignature, `not one for the namespace "git"`},
		"TooEarly":    {"The key was not hers yet.", `ann valid-after="20260401" ` + line(ann), good, signature.ErrBadSignature, "not valid before 2026-04-01T00:00:00Z"},
		"TooLate":     {"The key was hers no more.", `ann valid-before="20260303115959Z" ` + line(ann), good, signature.ErrBadSignature, "not valid after 2026-03-03T11:59:59Z"},
		"Unsigned":    {"Nobody has signed.", line(ann), "", signature.ErrUnsigned, ""},
		"Broken":      {"It was cut off.", line(ann), good[:len(good)/2], signature.ErrBadSignature, "cannot be read"},
		"Two":         {"Which of them counts nobody knows.", line(ann), good + good, signature.ErrBadSignature, "more than one"},
		"X509":        {"A certificate is no key that was given.", line(ann), "-----BEGIN SIGNED MESSAGE-----\nMIIE\n-----END SIGNED MESSAGE-----\n", signature.ErrBadSignature, "X.509"},
		"Message":     {"Nor is what Git never makes.", line(ann), "-----BEGIN PGP MESSAGE-----\n\nx\n-----END PGP MESSAGE-----\n", signature.ErrBadSignature, "neither"},
		"Text":        {"Nor is just anything.", line(ann), "Signed-off-by: Ann\n", signature.ErrBadSignature, "neither"},
		"Huge":        {"What is too large is not read.", line(ann), "-----BEGIN SSH SIGNATURE-----\n" + strings.Repeat("A", 1<<17), signature.ErrBadSignature, "64 KiB"},
		"OtherSystem": {"An SSH key does not verify OpenPGP.", line(ann), pgpSign(t, pgpKey(t), commit), signature.ErrUnknownKey, "OpenPGP "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw := []byte(commit)
			if tc.signature != "" {
				raw = signedCommit(tc.signature)
			}
			got, err := keys(t, tc.keys).Verify(signature.OfCommit(raw), noon)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || got != (signature.Signer{}) {
				t.Errorf("%s\ngot %v: %v", tc.reason, got, err)
			}
		})
	}
}

func TestAWeakSignatureIsRefused(t *testing.T) {
	s := sshSigner(t, ssh.KeyAlgoRSA)
	weak, err := ssh.NewSignerWithAlgorithms(s.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	text := sshSign(t, sha1Signer{weak}, commit, "git")
	_, err = keys(t, line(s)).Verify(signature.OfCommit(signedCommit(text)), noon)
	if !errors.Is(err, signature.ErrBadSignature) || !strings.Contains(err.Error(), `format "ssh-rsa"`) {
		t.Error(err)
	}
	ann := pgpKey(t, func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 2048 })
	cases := map[string]struct {
		reason string
		hash   crypto.Hash
		kind   packet.SignatureType
		says   string
	}{
		"Text":   {"Line ends can be exchanged.", crypto.SHA256, packet.SigTypeText, "not of the very bytes"},
		"SHA256": {"What is signed is what is there.", crypto.SHA256, packet.SigTypeBinary, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			signed := signature.OfCommit(signedCommit(pgpPacket(t, ann, tc.hash, tc.kind)))
			_, err := keys(t, string(public(t, ann))).Verify(signed, noon)
			if tc.says == "" && err != nil || tc.says != "" && (!errors.Is(err, signature.ErrBadSignature) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%s\n%v", tc.reason, err)
			}
		})
	}
}

// pgpPacket signs with OpenPGP as no program does any more.
func pgpPacket(t *testing.T, e *openpgp.Entity, hash crypto.Hash, kind packet.SignatureType) string {
	t.Helper()
	sig := &packet.Signature{Version: 4, SigType: kind, PubKeyAlgo: e.PrivateKey.PubKeyAlgo, Hash: hash, CreationTime: noon, IssuerKeyId: &e.PrimaryKey.KeyId}
	h := hash.New()
	wrapped := io.Writer(h)
	if kind == packet.SigTypeText {
		wrapped = openpgp.NewCanonicalTextHash(h)
	}
	if _, err := io.WriteString(wrapped, commit); err != nil {
		t.Fatal(err)
	}
	if err := sig.Sign(h, e.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.SignatureType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sig.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// sha1Signer hides that its key can sign by better algorithms.
type sha1Signer struct{ ssh.Signer }

func (s sha1Signer) PublicKey() ssh.PublicKey { return weakKey{s.Signer.PublicKey()} }

// weakKey does not say that it is RSA, so that it is signed with as it is.
type weakKey struct{ ssh.PublicKey }

func (weakKey) Type() string { return "" }

func TestACommitSignedByAKnownOpenPGPKeyIsThatOfItsOwner(t *testing.T) {
	ann, bob := pgpKey(t), pgpKey(t)
	withSub := pgpKey(t)
	if err := withSub.AddSigningSubkey(&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return noon.Add(-time.Hour) }, KeyLifetimeSecs: 86400}); err != nil {
		t.Fatal(err)
	}
	passing := pgpKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 72 * 3600 })
	cases := map[string]struct {
		reason string
		by     *openpgp.Entity
		keys   string
		now    time.Time
		until  time.Time
	}{
		"Key":     {"The only one.", ann, string(public(t, ann)), noon, time.Time{}},
		"Ring":    {"One of a ring, each in a block of its own.", ann, string(public(t, bob, ann)), noon, time.Time{}},
		"Subkey":  {"Signed by a subkey; the owner is that of the primary key.", withSub, string(public(t, withSub)), noon, noon.Add(23 * time.Hour)},
		"Passing": {"It counts until the key expires.", passing, string(public(t, passing)), noon, noon.Add(24 * time.Hour)},
		"Skew":    {"The signer's clock is a little ahead.", ann, string(public(t, ann)), noon.Add(-time.Minute), time.Time{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := keys(t, tc.keys).Verify(signature.OfCommit(signedCommit(pgpSign(t, tc.by, commit))), tc.now)
			if err != nil {
				t.Fatalf("%s\n%v", tc.reason, err)
			}
			if got.Identity != "Ann <ann@example.com>" || !strings.HasSuffix(got.Fingerprint, tc.by.PrimaryKey.KeyIdString()) || len(got.Fingerprint) != 40 || !got.Until.Equal(tc.until) {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
		})
	}
}

func TestWhatNoKnownOpenPGPKeyHasSignedIsRefused(t *testing.T) {
	ann, eve := pgpKey(t), pgpKey(t)
	expiring := pgpKey(t, func(c *packet.Config) { c.KeyLifetimeSecs = 49 * 3600 })
	revoked := pgpKey(t)
	stolen := pgpSign(t, revoked, commit)
	if err := revoked.RevokeKey(packet.KeyCompromised, "stolen", &packet.Config{Time: func() time.Time { return noon }}); err != nil {
		t.Fatal(err)
	}
	short := func(c *packet.Config) { c.SigLifetimeSecs = 60 }
	cases := map[string]struct {
		reason    string
		keys      *openpgp.Entity
		signature string
		now       time.Time
		want      error
		says      string
	}{
		"Unknown":   {"Anybody can make a key of any name.", ann, pgpSign(t, eve, commit), noon, signature.ErrUnknownKey, eve.PrimaryKey.KeyIdString()},
		"OtherText": {"It is of another commit.", ann, pgpSign(t, ann, commit+"x"), noon, signature.ErrBadSignature, ""},
		"Expired":   {"The key is not to be used any more.", expiring, pgpSign(t, expiring, commit), noon.Add(2 * time.Hour), signature.ErrBadSignature, "key expired"},
		"Revoked":   {"The key was stolen.", revoked, stolen, noon.Add(time.Hour), signature.ErrBadSignature, "revoked"},
		"Passed":    {"The signature was for a minute.", ann, pgpSign(t, ann, commit, short), noon.Add(time.Hour), signature.ErrBadSignature, "expired"},
		"Future":    {"Clocks are not that wrong.", ann, pgpSign(t, ann, commit), noon.Add(-time.Hour), signature.ErrBadSignature, "expired"},
		"Broken":    {"It was cut off.", ann, pgpSign(t, ann, commit)[:120], noon, signature.ErrBadSignature, ""},
		"NoPacket":  {"It holds none.", ann, "-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n", noon, signature.ErrUnknownKey, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := keys(t, string(public(t, tc.keys))).Verify(signature.OfCommit(signedCommit(tc.signature)), tc.now)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || got != (signature.Signer{}) {
				t.Errorf("%s\ngot %v: %v", tc.reason, got, err)
			}
		})
	}
}
