package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// insecure asks for a component's health without checking who answers: these
// endpoints are on the sandbox's own loopback, with certificates made on the fly.
var insecure = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	DisableKeepAlives: true,
}}

// localHealth looks at a health endpoint on the sandbox's loopback.
func localHealth(scheme string, port int, path string) func(context.Context, *bed) error {
	url := scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + path
	return func(ctx context.Context, _ *bed) error { return answers(ctx, insecure, url) }
}

// answers tells whether a URL answers with success.
func answers(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s: %s", url, res.Status, body)
	}
	return nil
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// eventually asks until the answer is good or the context ends.
func eventually(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ask(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; at last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
