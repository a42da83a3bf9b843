package signature_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/signature"
)

func TestOfACommitAllIsSignedButItsSignatures(t *testing.T) {
	const head = "tree 1\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 1772539200 +0100\n"
	at := time.Unix(1772539200, 0).UTC()
	cases := map[string]struct {
		reason, raw string
		want        signature.Signed
	}{
		"Unsigned": {"There is nothing to take out.", head + "\nm\n", signature.Signed{Payload: []byte(head + "\nm\n"), Time: at}},
		"Signed":   {"The header is taken out, with all its lines.", head + "gpgsig a\n b\n \n c\n\nm\n", signature.Signed{Payload: []byte(head + "\nm\n"), Signature: "a\nb\n\nc\n", Time: at}},
		"Between":  {"Headers after it are signed.", head + "gpgsig a\n b\nencoding x\n\nm\n", signature.Signed{Payload: []byte(head + "encoding x\n\nm\n"), Signature: "a\nb\n", Time: at}},
		"SHA256":   {"What is signed for another kind of repository is neither signed nor a signature.", head + "gpgsig-sha256 a\n b\ngpgsig c\n\nm\n", signature.Signed{Payload: []byte(head + "\nm\n"), Signature: "c\n", Time: at}},
		"Merged":   {"A tag that was merged keeps its own signature.", head + "mergetag object 1\n gpgsig a\n gpgsig-sha256 b\n\nm\n", signature.Signed{Payload: []byte(head + "mergetag object 1\n gpgsig a\n gpgsig-sha256 b\n\nm\n"), Time: at}},
		"Message":  {"A message is no header.", head + "\ngpgsig a\n b\n", signature.Signed{Payload: []byte(head + "\ngpgsig a\n b\n"), Time: at}},
		"Twice":    {"Neither of two is lost, so that both can be refused.", head + "gpgsig a\ngpgsig b\n\nm\n", signature.Signed{Payload: []byte(head + "\nm\n"), Signature: "a\nb\n", Time: at}},
		"Alike":    {"A header of a like name is another one.", head + "gpgsignature a\n b\n\nm\n", signature.Signed{Payload: []byte(head + "gpgsignature a\n b\n\nm\n"), Time: at}},
		"Second":   {"Of two committers the first counts, as with Git.", head + "committer D <d@x> 5 +0000\n\nm\n", signature.Signed{Payload: []byte(head + "committer D <d@x> 5 +0000\n\nm\n"), Time: at}},
		"NoTime":   {"A time that is none is no time.", "tree 1\ncommitter C <c@x> soon\n\nm", signature.Signed{Payload: []byte("tree 1\ncommitter C <c@x> soon\n\nm")}},
		"CutOff":   {"A header without an end is one.", "tree 1\ngpgsig a", signature.Signed{Payload: []byte("tree 1\n"), Signature: "a\n"}},
		"Nothing":  {"Nothing is signed of nothing.", "", signature.Signed{Payload: []byte{}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, signature.OfCommit([]byte(tc.raw))); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOfATagAllIsSignedThatIsBeforeTheSignature(t *testing.T) {
	const head = "object 1\ntype commit\ntag v1\ntagger A <a@x> 1772539200 +0000\n"
	at := time.Unix(1772539200, 0).UTC()
	const sig = "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n"
	cases := map[string]struct {
		reason, raw        string
		payload, signature string
	}{
		"Unsigned": {"There is no signature.", head + "\nm\n", head + "\nm\n", ""},
		"Signed":   {"The message ends where it begins.", head + "\nm\n" + sig, head + "\nm\n", sig},
		"Quoted":   {"A signature that is quoted in the message is signed.", head + "\n" + sig + "m\n" + sig, head + "\n" + sig + "m\n", sig},
		"Indented": {"What does not begin a line is none.", head + "\n " + sig, head + "\n " + sig, ""},
		"SHA256":   {"What is signed for another kind of repository is not signed here.", head + "gpgsig-sha256 a\n b\n\nm\n" + sig, head + "\nm\n", sig},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := signature.OfTag([]byte(tc.raw))
			want := signature.Tag{Signed: signature.Signed{Payload: []byte(tc.payload), Signature: tc.signature, Time: at}, Name: "v1", Object: "1", Type: "commit"}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
	for _, raw := range []string{"", commit, "object 1\ntype commit\n\ntag v1\n"} {
		if got, err := signature.OfTag([]byte(raw)); err == nil {
			t.Errorf("%q is a tag: %v", raw, got)
		}
	}
}

func TestKeysThatCannotBeReadAreNamed(t *testing.T) {
	ed := line(sshSigner(t, ssh.KeyAlgoED25519))
	block := string(public(t, pgpKey(t)))
	cases := map[string]struct {
		reason, value, says string
	}{
		"Nothing":     {"Without a key nobody could sign.", "# none yet\n", "no public key"},
		"Private":     {"It must not be there, and is not repeated.", "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n", "private key"},
		"PGPPrivate":  {"Nor one of OpenPGP.", "-----BEGIN PGP PRIVATE KEY BLOCK-----\ns3cret\n", "private key"},
		"Binary":      {"gpg --export without --armor.", "\x99\x01\x0ds3cret", "gpg --armor"},
		"PGPBroken":   {"It was cut off.", block[:len(block)/2], "OpenPGP block 1: "},
		"SecondBlock": {"The second one was cut off.", block + block[:90], "OpenPGP block 2: "},
		"Text":        {"It is no key.", ed + "\ns3cret text that is none\n", "line 2: no public key"},
		"SSHBroken":   {"It was cut off.", ed[:40] + "\n", "line 1: the key is damaged"},
		"Mixed":       {"It is of another type than it says.", strings.Replace(ed, "ssh-ed25519", "ssh-rsa", 1), "line 1: the key is damaged"},
		"DSA":         {"It is too weak.", "ssh-dss AAAAB3NzaC1kc3MAAACBAA== old", "no public key that can be used"},
		"Authority":   {"Its certificates would not be checked.", "*@example.com cert-authority " + ed, "list the keys themselves"},
		"Expiry":      {"A limit that is not known might hold.", `expiry-time="20200101" ` + ed, `option "expiry-time" is not supported`},
		"Restricted":  {"Nor are those of logins.", "restrict " + ed, `option "restrict" is not supported`},
		"Time":        {"It is no time.", `ann valid-before="tomorrow" ` + ed, `time "tomorrow"`},
		"TooMuch":     {"It has one field too many.", `ann bob namespaces="git" ` + ed, "no public key"},
		"NoOptions":   {"Options come before the key once.", `namespaces="git" namespaces="git" ` + ed, "no public key"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := signature.ParseKeys(map[string][]byte{"team.pub": []byte(tc.value)})
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("%s\n%v", tc.reason, err)
			}
			if name != "Nothing" && !strings.HasPrefix(err.Error(), `key "team.pub": `) {
				t.Errorf("the value is not named: %v", err)
			}
		})
	}
}

func TestOtherKeysHaveAnotherDigest(t *testing.T) {
	a, b := line(sshSigner(t, ssh.KeyAlgoED25519)), line(sshSigner(t, ssh.KeyAlgoED25519))
	first := keys(t, a, b)
	if again := keys(t, a, b); again.Digest() != first.Digest() {
		t.Error("the same keys have two digests")
	}
	for _, other := range []*signature.Keys{keys(t, a), keys(t, b, a), keys(t, a+"\n"+b), keys(t, a, `x valid-before="20300101" `+b)} {
		if other.Digest() == first.Digest() {
			t.Error("other keys have the same digest")
		}
	}
}
