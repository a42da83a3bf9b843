package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// A signature is an HMAC-SHA256 of the raw body in one of these headers, the first that
// a request has, in hexadecimal digits and with sha256= before them or, as only Gitea and
// Forgejo have it, without. No other algorithm counts.
type signature struct{ headers []string }

// Signed says whether a request carries a signature of its body, as its forge signs.
func Signed(header http.Header) bool { return signatureOf(header) != "" }

// Signs says whether the signature that a request carries is that of the body by that
// key. It takes the same time whatever the signature is.
func Signs(header http.Header, body, key []byte) bool {
	got, err := hex.DecodeString(signatureOf(header))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}

// signatureOf is the signature of a request in digits. What is there in another form is
// a signature too, but of nothing.
func signatureOf(header http.Header) string {
	from, _ := senderOf(header)
	value := first(header, from.signature.headers)
	digits, prefixed := strings.CutPrefix(value, "sha256=")
	if !prefixed && from.forge != Gitea && value != "" {
		return "none"
	}
	return digits
}

// Shows says whether a request shows the token: in the header that its forge has for
// it, as a bearer token, or as the password of any user. It takes the same time whatever
// is shown: digests are compared, which are of one length.
func Shows(header http.Header, token string) bool {
	from, _ := senderOf(header)
	shown := header.Get("Authorization")
	if scheme, rest, _ := strings.Cut(shown, " "); strings.EqualFold(scheme, "Bearer") {
		shown = strings.TrimSpace(rest)
	} else {
		_, shown, _ = (&http.Request{Header: header}).BasicAuth()
	}
	if from.token != "" && header.Get(from.token) != "" {
		shown = header.Get(from.token)
	}
	got, want := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(token))
	return hmac.Equal(got[:], want[:])
}
