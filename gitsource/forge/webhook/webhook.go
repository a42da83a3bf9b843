// Package webhook tells what forges send when something happens in a repository: which
// forge it is, whether the request is signed by who knows the secret, which repository
// is meant, and what was pushed or which pull request changed. It believes a body only
// as far as its caller has found it signed, asks nobody, keeps nothing, and never
// decides what is done about an event.
package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/keptn/gitops/gitname"
)

// Forge is who sends a request.
type Forge string

// Forges. Generic is anything that holds to what [Parse] says of it.
const (
	GitHub          Forge = "github"
	GitLab          Forge = "gitlab"
	Gitea           Forge = "gitea" // and Forgejo
	Bitbucket       Forge = "bitbucket"
	BitbucketServer Forge = "bitbucketserver" // called Data Center now
	AzureDevOps     Forge = "azuredevops"
	Generic         Forge = "generic"
)

// Kind is what an event is about.
type Kind string

// Kinds. What is none of the others is Other, of which nothing but the forge, the name
// and the id of the delivery is known.
const (
	Push             Kind = "push"
	PullRequestEvent Kind = "pullRequest"
	Ping             Kind = "ping"
	Other            Kind = "other"
)

// Event is what a request says.
type Event struct {
	Forge Forge
	Kind  Kind
	// Name is what the forge calls the event, as pull_request or repo:push.
	Name string
	// Delivery is the forge's id of the delivery: the same when it is sent again. It is
	// empty where the forge sends none. Most send it in a header, which nobody signs.
	Delivery string
	// Repository that was pushed to, or that a pull request is to be merged into.
	Repository Repository
	// Updates are the refs that a push has moved; none where the push does not say
	// which, so that it may be any.
	Updates []Update
	// PullRequest is that of a PullRequestEvent.
	PullRequest PullRequest
}

// Repository is a repository by its URLs, as far as the forge says them: to clone it
// over HTTP and over SSH, and the page that people read.
type Repository struct{ HTTP, SSH, HTML string }

// Identities are what [gitname.Identity] has for the URLs, each once.
func (r Repository) Identities() []string {
	var all []string
	for _, url := range []string{r.HTTP, r.SSH, r.HTML} {
		if id := gitname.Identity(url); id != "" && !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// Update is a ref that was moved.
type Update struct {
	// Ref is its full name, as refs/heads/main.
	Ref string
	// After is the commit, or the annotated tag, that it is at now. It is empty where
	// the ref was deleted, and where the forge does not say.
	After string
}

// Action is what happened to a pull request.
type Action string

// Actions.
const (
	// Opened: it is new, or open again.
	Opened Action = "opened"
	// Updated: it has other commits, or something else of it changed.
	Updated Action = "updated"
	// Closed: it was merged or declined.
	Closed Action = "closed"
)

// PullRequest is a request to merge one branch into another, whatever its forge calls it.
type PullRequest struct {
	// Number of the pull request in its repository.
	Number int64
	Action Action
	// Head is the commit that is to be merged. Bitbucket Cloud abbreviates it, to twelve
	// digits.
	Head string
	// HeadBranch is the short name of the branch that is to be merged, Base that of the
	// one that it is merged into.
	HeadBranch, Base string
	// Fork says that the branch is of another repository, which may be gone.
	Fork bool
	// HeadRepository is the repository of the branch, without URLs if it is gone.
	HeadRepository Repository
}

// Limits of what is taken from a body, which its sender bounds.
const (
	maxName    = 1024 // bytes of a ref or a branch
	maxURL     = 2048 // bytes, as of GitSource.spec.url
	maxID      = 256  // bytes of a delivery's id
	maxUpdates = 1000 // refs of one push; with more it may be any
)

// ErrMalformed is the error of a body that is not what its forge sends. Its text says
// where, and repeats no more of the body than a name.
var ErrMalformed = errors.New("malformed")

// A reader reads the body of an event of that name.
type reader func(name string, body []byte) (Event, error)

// A sender is a row of the table of forges.
type sender struct {
	forge Forge
	// names are the headers that name the event: what has one is from this forge.
	names []string
	// deliveries are the headers that hold the id of the delivery.
	deliveries []string
	// signature of the body, and token the header that shows a token in plain.
	signature signature
	token     string
	read      reader
}

// senders are all forges that name themselves in a header, first to last: Gitea and
// Forgejo send the headers of GitHub too. Who names itself in none is anonymous.
func senders() []sender {
	return []sender{
		{
			Gitea,
			[]string{"X-Forgejo-Event", "X-Gitea-Event"},
			[]string{"X-Forgejo-Delivery", "X-Gitea-Delivery"},
			signature{[]string{"X-Forgejo-Signature", "X-Gitea-Signature", "X-Hub-Signature-256"}}, "", readGitea,
		},
		{GitHub, []string{"X-GitHub-Event"}, []string{"X-GitHub-Delivery"}, signature{[]string{"X-Hub-Signature-256"}}, "", readGitHub},
		{GitLab, []string{"X-Gitlab-Event"}, []string{"Idempotency-Key"}, signature{}, "X-Gitlab-Token", readGitLab},
		{Bitbucket, nil, []string{"X-Request-UUID"}, signature{[]string{"X-Hub-Signature"}}, "", readBitbucket},
		{BitbucketServer, []string{"X-Event-Key"}, []string{"X-Request-Id"}, signature{[]string{"X-Hub-Signature"}}, "", readBitbucketServer},
	}
}

// anonymous is a sender that no header names: the body tells Azure DevOps from others.
func anonymous() sender {
	return sender{Generic, nil, nil, signature{[]string{"X-Signature"}}, "", readAnonymous}
}

// senderOf finds out by headers who sends a request, and what it calls the event.
// Bitbucket Cloud and Server have one header for the event; only the former says which
// hook it is of.
func senderOf(header http.Header) (sender, string) {
	for _, s := range senders() {
		names := s.names
		if s.forge == Bitbucket && header.Get("X-Hook-UUID") != "" {
			names = []string{"X-Event-Key"}
		}
		if name := first(header, names); name != "" {
			return s, name
		}
	}
	return anonymous(), ""
}

// first is the first of the headers that a request has.
func first(header http.Header, names []string) string {
	for _, name := range names {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// Parse reads what a request says: its headers, and its body, which is JSON. It takes
// what it does not know for what it need not know, and is strict in what it uses. Errors
// wrap [ErrMalformed].
//
// Who sends no header that a forge has, and no event of Azure DevOps, sends
// {"repository": "https://git.example.com/acme/shop", "ref": "refs/heads/main",
// "commit": "<40 or 64 digits>"}, of which the repository alone is required.
func Parse(header http.Header, body []byte) (Event, error) {
	from, name := senderOf(header)
	event, err := from.read(name, body)
	event.Forge = cmp.Or(event.Forge, from.forge)
	event.Name = clip(cmp.Or(event.Name, name))
	if err != nil {
		return Event{}, fmt.Errorf("%w: %s of %s: %w", ErrMalformed, cmp.Or(event.Name, "event"), event.Forge, err)
	}
	event.Delivery = cmp.Or(event.Delivery, first(header, from.deliveries))
	if len(event.Delivery) > maxID {
		event.Delivery = ""
	}
	return event, nil
}

// clip keeps what others see of a name short.
func clip(name string) string { return strings.ToValidUTF8(name[:min(len(name), 64)], "") }

// decode reads JSON into what of it is used.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s: is no %s", cmp.Or(wrong.Field, "the body"), nameOf(wrong.Type.Kind()))
	}
	if err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	return nil
}

// nameOf is what JSON calls what Go decodes it into.
func nameOf(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "string"
	case reflect.Struct, reflect.Pointer:
		return "object"
	case reflect.Slice:
		return "array"
	default:
		return "number"
	}
}

// pushed is a push to a repository.
func pushed(to Repository, updates []Update) (Event, error) {
	for i := range updates {
		if err := updates[i].check(); err != nil {
			return Event{}, err
		}
	}
	if len(updates) == 0 || len(updates) > maxUpdates { // which may be any
		updates = nil
	}
	return Event{Kind: Push, Repository: to, Updates: updates}, to.check()
}

// changed is an event of a pull request.
func changed(of Repository, pr PullRequest) (Event, error) {
	switch {
	case pr.Number <= 0:
		return Event{}, fmt.Errorf("the number of the pull request: %d is none", pr.Number)
	case !gitname.IsCommitish(pr.Head):
		return Event{}, errors.New("the head of the pull request is the name of no commit")
	case pr.Base == "" || len(pr.Base) > maxName || len(pr.HeadBranch) > maxName:
		return Event{}, errors.New("the branches of the pull request: one is missing or too long")
	}
	if pr.HeadRepository.check() != nil {
		pr.HeadRepository = Repository{}
	}
	return Event{Kind: PullRequestEvent, Repository: of, PullRequest: pr}, of.check()
}

// check says what is wrong with a repository.
func (r Repository) check() error {
	if max(len(r.HTTP), len(r.SSH), len(r.HTML)) > maxURL {
		return fmt.Errorf("the URL of the repository has more than %d bytes", maxURL)
	}
	if len(r.Identities()) == 0 {
		return errors.New("the URL of the repository is missing, or is none of a server")
	}
	return nil
}

// check says what is wrong with an update, and forgets what stands for no commit.
func (u *Update) check() error {
	if name, full := strings.CutPrefix(u.Ref, "refs/"); !full || name == "" || len(u.Ref) > maxName {
		return fmt.Errorf("ref: %.64q is not the full name of a ref, as refs/heads/main", u.Ref)
	}
	if strings.Trim(u.After, "0") == "" {
		u.After = ""
	}
	if u.After != "" && !gitname.IsCommit(u.After) {
		return fmt.Errorf("%s: what it is at now is the name of no commit", u.Ref)
	}
	return nil
}

// branch is the short name of a branch.
func branch(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }
