package evidence

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// Reference is a commit of another repository that a commit brings, for example that
// of the app whose new image a commit of the deploy repository rolls out. It is what
// the author of the referring commit says.
type Reference struct {
	// SHA of the commit, in full or abbreviated to seven digits at least.
	SHA string
	// Repository is its URL without credentials; empty if it is not said.
	Repository string
	// Author as "Name <address>", Date (zero if it is not said), Subject and Body are
	// those of the commit.
	Author, Subject, Body string
	Date                  time.Time
}

// Claim is that a workload comes from the commit that is referred to, as the commit
// says that its applier names.
func (r Reference) Claim(by Claim) Claim {
	return Claim{
		Evidence: Trailer, By: "commit " + by.Commit + " of " + by.Repository,
		Repository: r.Repository, Commit: r.SHA, Revision: r.SHA, At: by.At, Doubt: by.Doubt,
	}
}

// referenceKey begins the keys of trailers that refer to a commit
// (https://argo-cd.readthedocs.io/en/stable/user-guide/source-hydrator/#commit-tracing).
const referenceKey = "argocd-reference-commit-"

// maxTrailer bounds the value of a trailer that is read, in bytes.
const maxTrailer = 64 << 10

// ReferenceIn is the commit that trailers Argocd-reference-commit-… refer to. A
// trailer that is not well-formed is passed over, and of several the last counts, as
// Argo CD has it; without a commit there is no reference.
func ReferenceIn(trailers []gitsource.Trailer) (Reference, bool) {
	var r Reference
	for _, t := range trailers {
		key, ours := strings.CutPrefix(strings.ToLower(t.Key), referenceKey)
		if !ours || len(t.Value) > maxTrailer {
			continue
		}
		r.set(key, t.Value)
	}
	return r, r.SHA != ""
}

// set takes a value that is well-formed.
func (r *Reference) set(key, value string) {
	switch key {
	case "sha":
		if gitname.IsCommitish(value) {
			r.SHA = value
		}
	case "repourl":
		if gitname.Identity(value) != "" {
			r.Repository = gitname.PublicURL(value)
		}
	case "author":
		if _, err := mail.ParseAddress(value); err == nil {
			r.Author = value
		}
	case "date":
		if at, err := time.Parse(time.RFC3339, value); err == nil {
			r.Date = at
		}
	case "subject":
		r.Subject = value
	case "body": // its lines are within a JSON string
		_ = json.Unmarshal([]byte(value), &r.Body) // what is none leaves it as it is
	}
}

// HydratorMetadata is the path of the file at the root of a hydrated branch that says
// what it was made of.
const HydratorMetadata = "hydrator.metadata"

// maxMetadata bounds that file, in bytes.
const maxMetadata = 1 << 20

// Hydrated reads what a hydrated commit was made of out of its hydrator.metadata: the
// dry commit, and the one that this refers to, if any.
func Hydrated(metadata []byte) (dry Reference, refersTo []Reference, err error) {
	if len(metadata) > maxMetadata {
		return Reference{}, nil, fmt.Errorf("%s has %d bytes, at most %d are read", HydratorMetadata, len(metadata), maxMetadata)
	}
	var file struct {
		said
		DrySHA     string `json:"drySha"`
		References []struct {
			Commit *said `json:"commit"`
		} `json:"references"`
	}
	if err := json.Unmarshal(metadata, &file); err != nil {
		return Reference{}, nil, fmt.Errorf("%s: %w", HydratorMetadata, err)
	}
	file.SHA = cmp.Or(file.DrySHA, file.SHA)
	if dry = file.reference(); dry.SHA == "" {
		return Reference{}, nil, fmt.Errorf("%s: drySha %q is no commit", HydratorMetadata, file.SHA)
	}
	for _, of := range file.References {
		if of.Commit == nil {
			continue
		}
		if r := of.Commit.reference(); r.SHA != "" {
			refersTo = append(refersTo, r)
		}
	}
	return dry, refersTo, nil
}

// said is a commit in hydrator.metadata.
type said struct {
	SHA     string `json:"sha"`
	RepoURL string `json:"repoURL"`
	Author  author `json:"author"`
	Date    string `json:"date"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

func (s *said) reference() Reference {
	r := Reference{Subject: s.Subject, Body: s.Body}
	r.set("sha", s.SHA)
	r.set("repourl", s.RepoURL)
	r.set("author", string(s.Author))
	r.set("date", s.Date)
	return r
}

// author is a person: Argo CD writes "Name <address>", its documentation has a name
// and an email.
type author string

// UnmarshalJSON implements json.Unmarshaler.
func (a *author) UnmarshalJSON(data []byte) error {
	var person mail.Address
	var named struct{ Name, Email string }
	switch {
	case json.Unmarshal(data, (*string)(a)) == nil:
		return nil
	case json.Unmarshal(data, &named) == nil:
		person.Name, person.Address = named.Name, named.Email
		*a = author(person.String())
		return nil
	default:
		return fmt.Errorf("author %.40s is no person", data)
	}
}
