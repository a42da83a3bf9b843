package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/signature"
)

// noon is when all that is signed here was made.
var noon = time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)

// commit is one as Git stores it, without a signature.
const commit = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n" +
	"author Ann Author <ann@example.com> 1772539200 +0100\n" +
	"committer Carl Committer <carl@example.com> 1772539200 +0100\n" +
	"\nSubject\n\ngpgsig is no header here\n"

// signedCommit is a commit with a signature, as git commit -S writes it.
func signedCommit(text string) []byte {
	header, message, _ := strings.Cut(commit, "\n\n")
	return []byte(header + "\ngpgsig " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n ") + "\n\n" + message)
}

// pgpKey is a new OpenPGP key of Ann, made two days before noon.
func pgpKey(t testing.TB, change ...func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return noon.Add(-48 * time.Hour) }}
	for _, c := range change {
		c(config)
	}
	e, err := openpgp.NewEntity("Ann", "", "ann@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// public is the public part of OpenPGP keys in armor, one block for each.
func public(t testing.TB, all ...*openpgp.Entity) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, e := range all {
		w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Serialize(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text.WriteString("\n")
	}
	return text.Bytes()
}

// pgpSign signs with OpenPGP at noon.
func pgpSign(t testing.TB, e *openpgp.Entity, payload string, change ...func(*packet.Config)) string {
	t.Helper()
	config := &packet.Config{Time: func() time.Time { return noon }}
	for _, c := range change {
		c(config)
	}
	var text bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&text, e, strings.NewReader(payload), config); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// sshSigner returns a new SSH key of a kind.
func sshSigner(t testing.TB, kind string) ssh.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoECDSA521:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case ssh.KeyAlgoRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("no key of the kind %q", kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	if kind == ssh.KeyAlgoSKED25519 {
		return newSecurityKey(t, key.(ed25519.PrivateKey))
	}
	return s
}

// line is a key as authorized_keys has it.
func line(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " ann@laptop"
}

// sshSign signs with SSH.
func sshSign(t testing.TB, s ssh.Signer, payload, namespace string) string {
	t.Helper()
	sig, err := sshsig.Sign(strings.NewReader(payload), s, sshsig.HashSHA512, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return string(sshsig.Armor(sig))
}

// securityKey is a key that a device holds, and that signs when it is touched
// (https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.u2f).
type securityKey struct {
	public ssh.PublicKey
	key    ed25519.PrivateKey
}

func (k securityKey) PublicKey() ssh.PublicKey { return k.public }

const application = "ssh:"

func newSecurityKey(t testing.TB, key ed25519.PrivateKey) securityKey {
	t.Helper()
	public, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Kind        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, key.Public().(ed25519.PublicKey), application}))
	if err != nil {
		t.Fatal(err)
	}
	return securityKey{public, key}
}

func (k securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	const touched, counter = "\x01", "\x00\x00\x00\x07"
	of, what := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	return &ssh.Signature{
		Format: ssh.KeyAlgoSKED25519,
		Blob:   ed25519.Sign(k.key, []byte(string(of[:])+touched+counter+string(what[:]))),
		Rest:   []byte(touched + counter),
	}, nil
}

func keys(t testing.TB, values ...string) *signature.Keys {
	t.Helper()
	all := map[string][]byte{}
	for i, value := range values {
		all[fmt.Sprintf("%d.pub", i)] = []byte(value)
	}
	k, err := signature.ParseKeys(all)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
