package serving

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// The keys of the Secret beside those of every TLS Secret: the authority that
// signed the certificate, its key, and the authority before it.
const (
	authorityCert    = "ca.crt"
	authorityKey     = "ca.key"
	authorityRetired = "retired-ca.crt"
)

// How long certificates live. Both are renewed after two thirds of it.
const (
	certificateLife = 90 * 24 * time.Hour
	authorityLife   = 5 * 365 * 24 * time.Hour
)

// skew is how far behind the clocks of those may be that check a new certificate.
const skew = time.Hour

// A certificate is what the custom metrics API is served with, as a Secret holds
// it: signed by an authority of our own, so that it can be renewed without telling
// anybody, as long as the authority stays the same.
type certificate struct {
	// data is the Secret's.
	data map[string][]byte
	// bundle is what clients have to trust, in PEM: the authority, and the one
	// before it, since other replicas may still serve what that one signed.
	bundle []byte
	// renew is when a new certificate is due.
	renew time.Time

	authority *x509.Certificate
	signer    crypto.Signer
}

// parseCertificate reads a certificate for the given DNS names. Where a certificate
// cannot be served now, the error says why; what is returned beside the error can
// be renewed nevertheless, and keeps the authority if that is still good.
func parseCertificate(data map[string][]byte, names []string, now time.Time) (*certificate, error) {
	c := &certificate{data: data}
	if err := c.parseAuthority(now); err != nil {
		return c, err
	}
	pair, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return c, fmt.Errorf("%s and %s: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.authority)
	for _, name := range names {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		if err != nil {
			return c, fmt.Errorf("%s: %w", corev1.TLSCertKey, err)
		}
	}
	c.renew = twoThirds(pair.Leaf)
	if end := twoThirds(c.authority); end.Before(c.renew) {
		c.renew = end
	}
	c.bundle = bytes.Join([][]byte{data[authorityCert], data[authorityRetired]}, nil)
	return c, nil
}

// parseAuthority reads the authority, and keeps it if it is valid.
func (c *certificate) parseAuthority(now time.Time) error {
	pair, err := tls.X509KeyPair(c.data[authorityCert], c.data[authorityKey])
	if err != nil {
		return fmt.Errorf("%s and %s: %w", authorityCert, authorityKey, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%s: it is no authority that can sign", authorityCert)
	}
	if now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return fmt.Errorf("%s: it is valid from %s to %s only", authorityCert,
			pair.Leaf.NotBefore.Format(time.RFC3339), pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	c.authority, c.signer = pair.Leaf, signer
	return nil
}

// renewed is the data of a new certificate for the given DNS names. The authority
// is renewed as well, if that is due.
func (c *certificate) renewed(names []string, now time.Time) (map[string][]byte, error) {
	data := map[string][]byte{}
	authority, signer := c.authority, c.signer
	if authority == nil || !now.Before(twoThirds(authority)) {
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: "keptn-custom-metrics authority"},
			NotBefore:             now.Add(-skew),
			NotAfter:              now.Add(authorityLife),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			BasicConstraintsValid: true,
			IsCA:                  true,
			MaxPathLenZero:        true,
		}
		if authority != nil {
			data[authorityRetired] = c.data[authorityCert]
		}
		var err error
		if authority, signer, err = sign(template, nil, nil, data, authorityCert, authorityKey); err != nil {
			return nil, fmt.Errorf("make an authority: %w", err)
		}
	} else {
		for _, key := range []string{authorityCert, authorityKey, authorityRetired} {
			if kept, ok := c.data[key]; ok {
				data[key] = kept
			}
		}
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		DNSNames:    names,
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if _, _, err := sign(template, authority, signer, data, corev1.TLSCertKey, corev1.TLSPrivateKeyKey); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return data, nil
}

// sign makes a key and a certificate for it, and puts both into data in PEM. A
// certificate without a parent signs itself.
func sign(
	template, parent *x509.Certificate, parentKey crypto.Signer, data map[string][]byte, certName, keyName string,
) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	certPEM, encodeErr := certutil.EncodeCertificates(cert)
	if err := errors.Join(err, encodeErr); err != nil {
		return nil, nil, err
	}
	data[certName], data[keyName] = certPEM, keyPEM
	return cert, key, nil
}

// twoThirds is the moment at which two thirds of the life of a certificate are over.
func twoThirds(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}
