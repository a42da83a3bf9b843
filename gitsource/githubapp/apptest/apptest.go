// Package apptest serves, for tests, the part of GitHub's API that gives an App the
// tokens of its installations. It holds to the documentation
// (https://docs.github.com/rest/apps/apps): it refuses a JWT that is not signed by the
// App's key, is issued in the future or is good for more than ten minutes. It is no
// server of anything else.
package apptest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The App that a Server knows, and where it is installed.
const (
	ID           = "123456"
	Installation = 789
	Owner        = "acme"
)

// Server knows one App. Mount its handler where the API begins.
type Server struct {
	// Now is the server's time.
	Now func() time.Time
	// Lifetime of a token; an hour.
	Lifetime time.Duration
	// Wait, if not nil, is called with every request, before its answer.
	Wait func()

	key *rsa.PrivateKey

	mu       sync.Mutex
	requests []string
	given    int
	valid    map[string]time.Time
}

// New returns a server that tells the time by now.
func New(t *testing.T, now func() time.Time) *Server {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024) // short, for speed
	if err != nil {
		t.Fatal(err)
	}
	return &Server{Now: now, Lifetime: time.Hour, key: key, valid: map[string]time.Time{}}
}

// Secret is what a Secret for the App holds. An empty base leaves its key out.
func (s *Server) Secret(base string) map[string][]byte {
	data := map[string][]byte{
		"githubAppID":             []byte(ID),
		"githubAppInstallationID": []byte(strconv.Itoa(Installation)),
		"githubAppPrivateKey":     pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.key)}),
	}
	if base != "" {
		data["githubAppBaseURL"] = []byte(base)
	}
	return data
}

// Requests are those that were made so far, as "METHOD path".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Valid says whether a token was given and has neither expired nor been revoked.
func (s *Server) Valid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Now().Before(s.valid[token])
}

// Revoke ends all tokens that were given.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.valid)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if s.Wait != nil {
		s.Wait()
	}
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if err := s.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
		answer(w, http.StatusUnauthorized, map[string]any{"message": "A JSON web token could not be decoded: " + r.Header.Get("Authorization")})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case fmt.Sprintf("POST /app/installations/%d/access_tokens", Installation):
		answer(w, http.StatusCreated, s.give())
	case "GET /orgs/" + Owner + "/installation", "GET /users/ada/installation":
		answer(w, http.StatusOK, map[string]any{"id": Installation})
	default:
		answer(w, http.StatusNotFound, map[string]any{"message": "Integration not found"})
	}
}

// give makes a token.
func (s *Server) give() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given++
	token, until := fmt.Sprintf("ghs_t0ken%d", s.given), s.Now().Add(s.Lifetime)
	s.valid[token] = until
	return map[string]any{"token": token, "expires_at": until.UTC().Format(time.RFC3339), "permissions": map[string]string{"checks": "write"}}
}

// check refuses a JWT that GitHub would refuse.
func (s *Server) check(signed string) error {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(signed, &claims, func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(s.Now), jwt.WithIssuedAt(), jwt.WithExpirationRequired(), jwt.WithIssuer(ID))
	if err != nil {
		return err
	}
	if claims.IssuedAt == nil || claims.ExpiresAt.After(s.Now().Add(10*time.Minute)) {
		return fmt.Errorf("it lives too long: until %s", claims.ExpiresAt)
	}
	return nil
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
