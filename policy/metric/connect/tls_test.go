package connect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// pair is a certificate for clients that signs itself, and its key, in PEM.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
}

// serveTLS starts a server whose own CA is returned in PEM. With clients it asks for
// a certificate that they signed.
func serveTLS(t *testing.T, clients []byte) (s connect.Server, ca []byte) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	server.Config.ErrorLog = quiet()
	if clients != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(clients)
		server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{TargetServer: server.URL}, Addresses: local()}, ca
}

func TestAServersCertificateIsVerified(t *testing.T) {
	s, ca := serveTLS(t, nil)
	wantError(t, "Nobody vouches for it.", ask(t, s), metric.ErrUnreachable, "certificate")

	trusting := s
	trusting.Certificates = connect.Secret{"ca.crt": ca}
	if err := ask(t, trusting); err != nil {
		t.Errorf("with its CA: %v", err)
	}

	other, _ := pair(t)
	wrong := s
	wrong.Certificates = connect.Secret{"ca.crt": other}
	wantError(t, "Another CA does not vouch for it.", ask(t, wrong), metric.ErrUnreachable, "certificate")

	blind := s
	blind.Spec.InsecureSkipTLSVerify = true
	if err := ask(t, blind); err != nil {
		t.Errorf("with insecureSkipTlsVerify: %v", err)
	}
}

func TestAClientCertificateIsShown(t *testing.T) {
	cert, key := pair(t)
	s, ca := serveTLS(t, cert)
	s.Certificates = connect.Secret{"ca.crt": ca}
	wantError(t, "The server asks for a certificate.", ask(t, s), metric.ErrUnreachable, "certificate")
	s.Certificates = connect.Secret{"ca.crt": ca, "tls.crt": cert, "tls.key": key}
	if err := ask(t, s); err != nil {
		t.Error(err)
	}
}

func TestCertificatesThatCannotBeAreRefused(t *testing.T) {
	cert, key := pair(t)
	_, otherKey := pair(t)
	cases := map[string]struct {
		reason       string
		certificates connect.Secret
		says         string
	}{
		"CA":        {"Without a CA nothing would be trusted, silently.", connect.Secret{"ca.crt": []byte("hunter2")}, "ca.crt"},
		"NoKey":     {"A certificate without its key shows nothing.", connect.Secret{"tls.crt": cert}, "tls.key"},
		"NoCert":    {"Nor does a key alone.", connect.Secret{"tls.key": key}, "tls.crt"},
		"NoPEM":     {"What is wrong with a key is not repeated.", connect.Secret{"tls.crt": cert, "tls.key": []byte("hunter2")}, "pair"},
		"OtherPair": {"The two have to belong together.", connect.Secret{"tls.crt": cert, "tls.key": otherKey}, "pair"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := connect.Server{Certificates: tc.certificates}
			_, err := s.Client(nil)
			wantError(t, tc.reason, err, metric.ErrConfig, tc.says)
		})
	}
}
