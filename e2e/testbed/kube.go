package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// A kube speaks to the testbed's API server as its administrator. It knows the
// few requests that the testbed needs, so that no client library has to be compiled
// before anything starts.
type kube struct {
	server string
	client *http.Client
}

func newKube(b *bed) (*kube, error) {
	ca, err := os.ReadFile(b.path("pki/ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the cluster's authority is no certificate")
	}
	cert, err := tls.LoadX509KeyPair(b.path("pki/admin.crt"), b.path("pki/admin.key"))
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate: %w", err)
	}
	return &kube{server: b.url("https", apiPort), client: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}},
		DisableKeepAlives: true,
	}}}, nil
}

// get reads the object at an API path.
func (k *kube) get(ctx context.Context, path string, object any) error {
	return k.do(ctx, http.MethodGet, path, nil, object)
}

// apply makes the object at an API path what it should be.
func (k *kube) apply(ctx context.Context, path string, object any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return k.applyText(ctx, path, text)
}

// applyText is apply for an object in YAML or JSON.
func (k *kube) applyText(ctx context.Context, path string, text []byte) error {
	return k.do(ctx, http.MethodPatch, path+"?fieldManager=testbed&force=true", text, nil)
}

// open begins to read what an API path streams.
func (k *kube) open(ctx context.Context, path string) (io.ReadCloser, error) {
	return k.request(ctx, http.MethodGet, path, nil)
}

func (k *kube) do(ctx context.Context, method, path string, body []byte, answer any) error {
	stream, err := k.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("read the API server's answer to %s %s: %w", method, path, err)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("read the API server's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// request returns the body of a good answer, and an error for any other.
func (k *kube) request(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, k.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/apply-patch+yaml")
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the API server: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("read the API server's answer to %s %s: %w", method, path, err)
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
}
