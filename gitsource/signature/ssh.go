package signature

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// gitNamespace is what Git signs for.
const gitNamespace = "git"

// sshKey is an SSH key that is trusted to sign.
type sshKey struct {
	ssh.PublicKey
	identity string
	// namespaces are patterns of what it may sign for; none stands for all.
	namespaces []string
	// after and before bound the time of what it may sign; the zero time does not.
	after, before time.Time
}

// keyTypes are those that may sign. DSA is too weak, and a certificate is only as good as
// an authority that nobody has named here.
func keyTypes() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
	}
}

// parseSSH reads keys, one in a line; empty lines and comments are passed over.
func parseSSH(text []byte) ([]sshKey, error) {
	var keys []sshKey
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// errNoKey: a line is none of either file.
var errNoKey = errors.New("no public key that can be used: want one of OpenPGP in armor, or of SSH as ssh-keygen writes it (ed25519, ecdsa, rsa, or one of a security key)")

// parseLine reads a line of authorized_keys, "[options] type key [comment]", or of
// allowed_signers, "principals [options] type key [comment]".
func parseLine(line string) (sshKey, error) {
	var before []string
	for !beginsWithKey(line) {
		if len(before) == 2 || line == "" {
			return sshKey{}, errNoKey
		}
		var field string
		field, line = cutField(line)
		before = append(before, field)
	}
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return sshKey{}, errors.New("the key is damaged: copy it whole")
	}
	key := sshKey{PublicKey: public, identity: comment}
	if len(before) > 0 && !isOptions(before[0]) {
		key.identity = strings.ReplaceAll(before[0], `"`, "")
		before = before[1:]
	}
	if len(before) > 1 {
		return sshKey{}, errNoKey
	}
	for _, options := range before {
		for _, option := range splitQuoted(options) {
			if err := key.limit(option); err != nil {
				return sshKey{}, err
			}
		}
	}
	return key, nil
}

func beginsWithKey(line string) bool {
	kind, _, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	return slices.Contains(keyTypes(), kind)
}

// cutField takes the first field off a line: blanks within quotes do not end it.
func cutField(line string) (field, rest string) {
	quoted := false
	end := strings.IndexFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t')
	})
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimLeft(line[end:], " \t")
}

// splitQuoted splits at commas that are not within quotes.
func splitQuoted(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
}

// isOptions tells options from principals.
func isOptions(field string) bool {
	name, _, hasValue := strings.Cut(strings.ToLower(field), "=")
	name, _, _ = strings.Cut(name, ",")
	return hasValue && !strings.ContainsAny(name, `"@*`) || name == "cert-authority" || name == "restrict" || strings.HasPrefix(name, "no-")
}

// limit takes an option into account. One that is not known might be a limit.
func (k *sshKey) limit(option string) (err error) {
	name, value, _ := strings.Cut(option, "=")
	value = strings.Trim(value, `"`)
	switch name = strings.ToLower(name); name {
	case "namespaces":
		k.namespaces = strings.Split(value, ",")
	case "valid-after":
		k.after, err = parseTime(value)
	case "valid-before":
		k.before, err = parseTime(value)
	case "cert-authority":
		err = errors.New("cert-authority: certificates are not supported, list the keys themselves")
	default:
		err = fmt.Errorf("option %q is not supported: namespaces, valid-after and valid-before are", name)
	}
	return err
}

// parseTime reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with or without Z. As the
// controller is in no place, all are UTC.
func parseTime(text string) (time.Time, error) {
	text = strings.TrimSuffix(text, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want YYYYMMDD[HHMM[SS]][Z]", text)
}

// verifySSH says which of the SSH keys signed.
func (k *Keys) verifySSH(s Signed, text string) (Signer, error) {
	sig, err := sshsig.Unarmor([]byte(text))
	if err != nil {
		return Signer{}, bad("it cannot be read: %w", err)
	}
	by := Signer{Fingerprint: ssh.FingerprintSHA256(sig.PublicKey)}
	public := sig.PublicKey.Marshal()
	refused := unknown(sig.PublicKey.Type() + " " + by.Fingerprint)
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), public) {
			continue
		}
		by.Identity = key.identity
		if refused = key.refuse(s.Time, by); refused != nil {
			continue
		}
		if err := sshsig.Verify(bytes.NewReader(s.Payload), sig, key.PublicKey, sig.HashAlgorithm, gitNamespace); err != nil {
			return Signer{}, bad("of %s: %w", by, err)
		}
		return by, nil
	}
	return Signer{}, refused
}

// refuse says why a key must not have signed a commit or tag of a time.
func (k *sshKey) refuse(at time.Time, by Signer) error {
	switch {
	case len(k.namespaces) > 0 && !matches(k.namespaces):
		return bad("the key of %s is not one for the namespace %q", by, gitNamespace)
	case !k.after.IsZero() && at.Before(k.after):
		return bad("the key of %s is not valid before %s", by, k.after.Format(time.RFC3339))
	case !k.before.IsZero() && at.After(k.before):
		return bad("the key of %s is not valid after %s", by, k.before.Format(time.RFC3339))
	default:
		return nil
	}
}

// matches says whether a list of patterns, of which some may be negated, holds Git's
// namespace.
func matches(patterns []string) bool {
	found := false
	for _, pattern := range patterns {
		negated := strings.HasPrefix(pattern, "!")
		hit, err := path.Match(strings.TrimPrefix(pattern, "!"), gitNamespace)
		if err != nil || !hit {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}
