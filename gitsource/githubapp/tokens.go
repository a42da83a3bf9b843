package githubapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"
)

const (
	// backdate is how far a JWT is dated back, for clocks that differ; lifetime is how
	// long it is good for from then, of which GitHub allows ten minutes.
	backdate = 60 * time.Second
	lifetime = 5 * time.Minute
	// margin is how long before its end a token is replaced.
	margin = 2 * time.Minute
	// requestTimeout bounds getting a token.
	requestTimeout = 30 * time.Second
	// maxTokens is how many are kept.
	maxTokens = 256
	// maxAnswer bounds what is read of an answer, in bytes; maxSaid what is quoted of it.
	maxAnswer, maxSaid = 1 << 20, 200
)

// Token is a secret that formats and marshals as a placeholder.
type Token string

// Format implements fmt.Formatter for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(redacted)") }

// MarshalText implements encoding.TextMarshaler.
func (Token) MarshalText() ([]byte, error) { return []byte("(redacted)"), nil }

// Error is an answer of GitHub's other than a token.
type Error struct {
	// Code is the HTTP status.
	Code int
	// Header is that of the answer.
	Header http.Header
	// Said is GitHub's explanation, in one bounded line.
	Said string

	doing string
}

// Error implements error.
func (e *Error) Error() string {
	hint := ""
	switch e.Code {
	case http.StatusUnauthorized:
		hint = fmt.Sprintf("; check the keys %s and %s, and the clock", IDKey, PrivateKeyKey)
	case http.StatusNotFound:
		hint = fmt.Sprintf("; check %s or %s: the App is not installed there", InstallationIDKey, OwnerKey)
	case http.StatusForbidden:
		hint = "; the installation may be suspended"
	}
	return fmt.Sprintf("%s (HTTP %d %s: %q)%s", e.doing, e.Code, http.StatusText(e.Code), e.Said, hint)
}

// ErrNoToken is an answer that is none of GitHub's API.
var ErrNoToken = errors.New("the answer holds no token: check " + BaseURLKey)

// Tokens gets the tokens of installations, and keeps each until shortly before it
// expires. However many ask for one at once, one request is made. It may be used by
// several goroutines at once.
type Tokens struct {
	now     func() time.Time
	kept    *lru.Cache
	flights singleflight.Group
}

// Format implements fmt.Formatter for every verb: it shows no token.
func (*Tokens) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "githubapp.Tokens") }

// kept is a token, until when.
type kept struct {
	token Token
	until time.Time
}

// NewTokens returns an empty store that tells the time by now.
func NewTokens(now func() time.Time) *Tokens { return &Tokens{now: now, kept: lru.New(maxTokens)} }

// Installation is an App as it is installed on one server.
type Installation struct {
	tokens *Tokens
	app    App
	api    url.URL
	client http.Client
	key    string
}

// Installation returns the installation of an App whose API is at a base URL, see
// [App.API]. Its requests are made by client, whose redirect policy is not used.
func (t *Tokens) Installation(app App, api url.URL, client *http.Client) *Installation {
	i := &Installation{tokens: t, app: app, api: api, client: *client, key: api.String() + " " + app.Fingerprint()}
	i.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return i
}

// String names the App.
func (i *Installation) String() string { return i.app.String() }

// GoString is String.
func (i *Installation) GoString() string { return i.app.GoString() }

// Token returns a token that is good for two minutes at least. The error is an [*Error]
// where GitHub refuses, [ErrNoToken], or that of the client.
func (i *Installation) Token(ctx context.Context) (Token, error) {
	if token, ok := i.held(); ok {
		return token, nil
	}
	// Whoever asked first may go away: the others wait for its request all the same.
	flight := i.tokens.flights.DoChan(i.key, func() (any, error) {
		if token, ok := i.held(); ok { // since it was looked for
			return token, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		k, err := i.get(ctx)
		if err == nil {
			i.tokens.kept.Add(i.key, k)
		}
		return k.token, err
	})
	select {
	case got := <-flight:
		if got.Err != nil {
			return "", fmt.Errorf("%s: %w", i.app, got.Err)
		}
		return got.Val.(Token), nil //nolint:forcetypeassert // the function above returns it
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// held is the token that is kept, if it is good for long enough.
func (i *Installation) held() (Token, bool) {
	held, ok := i.tokens.kept.Get(i.key)
	if !ok {
		return "", false
	}
	k := held.(kept) //nolint:forcetypeassert // nothing else is put in
	return k.token, i.tokens.now().Before(k.until)
}

// Refused tells that a token was not allowed what it was used for, so that another is
// got next: it may have been revoked, and it has the permissions of when it was made.
func (i *Installation) Refused(token Token) {
	if held, ok := i.tokens.kept.Get(i.key); ok && held.(kept).token == token { //nolint:forcetypeassert // as above
		i.tokens.kept.Remove(i.key)
	}
}

// get asks for a token.
func (i *Installation) get(ctx context.Context) (kept, error) {
	signed, err := i.sign()
	if err != nil {
		return kept{}, err
	}
	id, err := i.find(ctx, signed)
	if err != nil {
		return kept{}, err
	}
	var given struct {
		Token   Token     `json:"token"`
		Expires time.Time `json:"expires_at"`
	}
	path := "/app/installations/" + strconv.FormatInt(id, 10) + "/access_tokens"
	header, err := i.ask(ctx, http.MethodPost, path, "getting a token of the installation", signed, &given)
	if err != nil {
		return kept{}, err
	}
	if given.Token == "" || given.Expires.IsZero() {
		return kept{}, ErrNoToken
	}
	now := i.tokens.now()
	left := given.Expires.Sub(now)
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		left = given.Expires.Sub(sent) // by GitHub's clock, which need not be ours
	}
	return kept{given.Token, now.Add(left - margin)}, nil
}

// sign makes the JWT that proves who the App is.
func (i *Installation) sign() (Token, error) {
	issued := i.tokens.now().Add(-backdate).Truncate(time.Second)
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    i.app.c.id,
		IssuedAt:  jwt.NewNumericDate(issued),
		ExpiresAt: jwt.NewNumericDate(issued.Add(lifetime)),
	}).SignedString(i.app.c.key)
	if err != nil {
		return "", fmt.Errorf("secret key %s: it cannot sign: %w", PrivateKeyKey, err)
	}
	return Token(signed), nil
}

// find returns the number of the installation: of the Secret, or by its owner, which is
// an organization or else a user.
func (i *Installation) find(ctx context.Context, signed Token) (int64, error) {
	if i.app.c.installation != 0 {
		return i.app.c.installation, nil
	}
	var found struct {
		ID int64 `json:"id"`
	}
	var err error
	for _, kind := range []string{"orgs", "users"} {
		_, err = i.ask(ctx, http.MethodGet, "/"+kind+"/"+i.app.c.owner+"/installation", "looking for the installation", signed, &found)
		var answer *Error
		if !errors.As(err, &answer) || answer.Code != http.StatusNotFound {
			break
		}
	}
	if err == nil && found.ID == 0 {
		err = ErrNoToken
	}
	return found.ID, err
}

// ask makes one request as the App.
func (i *Installation) ask(ctx context.Context, method, path, doing string, signed Token, out any) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, i.api.String()+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	request.Header.Set("Authorization", "Bearer "+string(signed))
	response, err := i.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: reading the answer: %w", doing, err)
	case response.StatusCode < 200 || response.StatusCode >= 300:
		return nil, &Error{Code: response.StatusCode, Header: response.Header, Said: said(body, signed), doing: doing}
	case json.Unmarshal(body, out) != nil:
		return nil, fmt.Errorf("%s: %w", doing, ErrNoToken)
	}
	return response.Header, nil
}

// said is what an answer explains, in one bounded line without the JWT.
func said(body []byte, signed Token) string {
	var explained struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &explained) != nil {
		return "" // a page of somebody else's
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(explained.Message, string(signed), "(redacted)")), " ")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxSaid {
		text = string(runes[:maxSaid-1]) + "…"
	}
	return text
}
