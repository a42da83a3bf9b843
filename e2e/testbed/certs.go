package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// An authority issues the certificates of one testbed, and dies with it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

// A credential is a certificate with its key, in PEM.
type credential struct{ cert, key string }

// clients are the kubeconfigs of a testbed and who they say their bearer is.
var clients = map[string]pkix.Name{
	"admin":                   {CommonName: "testbed-admin", Organization: []string{"system:masters"}},
	"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
	"kube-scheduler":          {CommonName: "system:kube-scheduler"},
	"kube-proxy":              {CommonName: "system:kube-proxy"},
	"kubelet":                 {CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}},
}

// writePKI makes all keys, certificates and kubeconfigs of the testbed.
func (b *bed) writePKI() error {
	ca, err := newAuthority("testbed")
	if err != nil {
		return err
	}
	front, err := newAuthority("testbed-front-proxy")
	if err != nil {
		return err
	}
	files := map[string]string{"ca.crt": ca.pem, "front-proxy-ca.crt": front.pem}
	if files["ca.key"], err = keyPEM(ca.key); err != nil {
		return err
	}
	accounts, err := newKey()
	if err != nil {
		return err
	}
	if files["accounts.key"], err = keyPEM(accounts); err != nil {
		return err
	}
	node := b.Network.Node()
	loopback := netip.MustParseAddr("127.0.0.1")
	certificates := []struct {
		file   string
		issuer *authority
		name   pkix.Name
		hosts  []string
		ips    []netip.Addr
	}{
		{"kube-apiserver", ca, pkix.Name{CommonName: "kube-apiserver"}, apiServerNames(), []netip.Addr{node, apiServiceIP, loopback}},
		{"kubelet-serving", ca, pkix.Name{CommonName: nodeName}, []string{nodeName}, []netip.Addr{node, loopback}},
		{"kubelet-client", ca, pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}}, nil, nil},
		{"front-proxy-client", front, pkix.Name{CommonName: "front-proxy-client"}, nil, nil},
	}
	for _, c := range certificates {
		issued, err := c.issuer.issue(c.name, c.hosts, c.ips)
		if err != nil {
			return err
		}
		files[c.file+".crt"], files[c.file+".key"] = issued.cert, issued.key
	}
	for name, text := range files {
		if err := b.write("pki/"+name, text); err != nil {
			return err
		}
	}
	return b.writeKubeconfigs(ca)
}

// apiServerNames are the names under which clients know the API server.
func apiServerNames() []string {
	const service = "kubernetes.default"
	return []string{"localhost", "kubernetes", service, service + ".svc", service + ".svc." + clusterDomain}
}

func (b *bed) writeKubeconfigs(ca *authority) error {
	for file, name := range clients {
		c, err := ca.issue(name, nil, nil)
		if err != nil {
			return err
		}
		if err := b.write("pki/"+file+".crt", c.cert); err != nil {
			return err
		}
		if err := b.write("pki/"+file+".key", c.key); err != nil {
			return err
		}
		if err := b.write(file+".kubeconfig", kubeconfig(b.url("https", apiPort), ca.pem, c)); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig is a client's configuration that needs no other file.
func kubeconfig(server, ca string, c credential) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: testbed
clusters:
- name: testbed
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: testbed
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: testbed
  context: {cluster: testbed, user: testbed}
`, server, base64Of(ca), base64Of(c.cert), base64Of(c.key))
}

func newAuthority(name string) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read authority %s: %w", name, err)
	}
	return &authority{cert: cert, key: key, pem: encodePEM("CERTIFICATE", der)}, nil
}

// issue makes a certificate good for clients and for servers at the given names.
func (a *authority) issue(name pkix.Name, hosts []string, ips []netip.Addr) (credential, error) {
	key, err := newKey()
	if err != nil {
		return credential{}, err
	}
	template, err := newTemplate(name)
	if err != nil {
		return credential{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = hosts
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return credential{}, fmt.Errorf("issue a certificate to %s: %w", name, err)
	}
	keyText, err := keyPEM(key)
	return credential{cert: encodePEM("CERTIFICATE", der), key: keyText}, err
}

func newTemplate(name pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      name,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(365 * 24 * time.Hour),
	}, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func keyPEM(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
