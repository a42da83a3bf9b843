package signature_test

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/signature"
)

// FuzzObject takes apart what anybody may have pushed: nothing is signed that is not in the
// object, and what is signed has no signature any more.
func FuzzObject(f *testing.F) {
	f.Add([]byte(commit))
	f.Add(signedCommit("-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n"))
	f.Add([]byte("object 1\ntype commit\ntag v1\ntagger A <a@x> 1 +0000\n\nm\n-----BEGIN PGP SIGNATURE-----\nx"))
	f.Add([]byte("gpgsig-sha256 \n a\ngpgsig b\n\n c"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := signature.OfCommit(raw)
		if len(s.Payload)+len(s.Signature) > len(raw)+1 {
			t.Fatalf("%q has become %q and %q", raw, s.Payload, s.Signature)
		}
		if again := signature.OfCommit(s.Payload); again.Signature != "" || !bytes.Equal(again.Payload, s.Payload) {
			t.Fatalf("%q is signed by %q", s.Payload, again.Signature)
		}
		if s.Signature == "" && len(s.Payload) == len(raw) && !bytes.Equal(s.Payload, raw) {
			t.Fatalf("%q is not %q", s.Payload, raw)
		}
		if tag, err := signature.OfTag(raw); err == nil && len(tag.Payload)+len(tag.Signature) > len(raw) {
			t.Fatalf("%q has become %q and %q", raw, tag.Payload, tag.Signature)
		}
	})
}

// FuzzSignature verifies what anybody may have signed, or not: whoever has not signed this
// very text is nobody.
func FuzzSignature(f *testing.F) {
	ed, ann := sshSigner(f, ssh.KeyAlgoED25519), pgpKey(f)
	k := keys(f, line(ed), string(public(f, ann)))
	for _, text := range []string{
		sshSign(f, ed, commit, "git"), pgpSign(f, ann, commit),
		sshSign(f, sshSigner(f, ssh.KeyAlgoRSA), commit, "git"), sshSign(f, sshSigner(f, ssh.KeyAlgoSKED25519), commit, "git"), "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		signer, err := k.Verify(signature.Signed{Payload: []byte(commit + "and more"), Signature: text, Time: noon}, noon)
		if err == nil || signer != (signature.Signer{}) {
			t.Fatalf("%q is of %v", text, signer)
		}
	})
}

// FuzzKeys reads what may be in a Secret.
func FuzzKeys(f *testing.F) {
	ed := line(sshSigner(f, ssh.KeyAlgoED25519))
	for _, value := range []string{ed, `ann namespaces="git",valid-after="20260101" ` + ed, string(public(f, pgpKey(f))), "# nothing", `"`} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		k, err := signature.ParseKeys(map[string][]byte{"a": value})
		if (k == nil) == (err == nil) {
			t.Fatalf("got %v and %v", k, err)
		}
	})
}
