package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// Keys are those that are trusted to sign. They do not change, and are safe for concurrent
// use.
type Keys struct {
	pgp    openpgp.EntityList
	ssh    []sshKey
	digest string
}

// errPrivate: what has to be known to the signer alone is in the wrong hands.
var errPrivate = errors.New("it holds a private key: put the public one in its place, and use another key from now on")

// ParseKeys reads public keys from the values of a Secret, whatever their names. A value
// holds OpenPGP keys in armor, one block after another, or SSH keys, one in a line, as
// authorized_keys or allowed_signers have them
// (https://man.openbsd.org/ssh-keygen#ALLOWED_SIGNERS). Of the options, namespaces,
// valid-after and valid-before count. All values have to be readable, and one key at least
// has to be there: the error names the value and the line, and never repeats what it holds.
func ParseKeys(values map[string][]byte) (*Keys, error) {
	k := &Keys{}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		fmt.Fprintf(sum, "%q %q\n", name, value)
		if err := k.add(value); err != nil {
			return nil, fmt.Errorf("key %q: %w", name, err)
		}
	}
	if len(k.pgp)+len(k.ssh) == 0 {
		return nil, errors.New("there is no public key in it")
	}
	k.digest = hex.EncodeToString(sum.Sum(nil))
	return k, nil
}

// Digest tells keys from others.
func (k *Keys) Digest() string { return k.digest }

// add reads one value.
func (k *Keys) add(value []byte) error {
	switch {
	case bytes.Contains(value, []byte("PRIVATE KEY")):
		return errPrivate
	case bytes.Contains(value, []byte(pgpKeyBegin)):
		found, err := parsePGP(value)
		k.pgp = append(k.pgp, found...)
		return err
	case len(value) > 0 && value[0]&0x80 != 0: // the first byte of every OpenPGP packet
		return errors.New("it is not in armor: export it by gpg --armor --export")
	default:
		found, err := parseSSH(value)
		k.ssh = append(k.ssh, found...)
		return err
	}
}
