package webhook_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge/webhook"
)

// after is the commit that most pushes of testdata are at.
const after = "9a8b7c6d5e4f30211203f4e5d6c7b8a990817263"

// request reads a request of testdata: its headers, an empty line, and its body.
func request(t testing.TB, name string) (http.Header, []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(bytes.NewReader(text))
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return http.Header(header), body
}

func TestWhatAForgeSendsIsUnderstood(t *testing.T) {
	onGitHub := webhook.Repository{HTTP: "https://github.com/acme/shop.git", SSH: "git@github.com:acme/shop.git", HTML: "https://github.com/acme/shop"}
	guest := webhook.Repository{HTTP: "https://github.com/guest/shop.git", SSH: "git@github.com:guest/shop.git", HTML: "https://github.com/guest/shop"}
	onGitLab := webhook.Repository{
		HTTP: "https://gitlab.example.com/acme/group/shop.git", SSH: "git@gitlab.example.com:acme/group/shop.git", HTML: "https://gitlab.example.com/acme/group/shop",
	}
	onBitbucket := webhook.Repository{HTML: "https://bitbucket.org/acme/shop"}
	onServer := webhook.Repository{HTTP: "https://bitbucket.example.com/scm/acme/shop.git", SSH: "ssh://git@bitbucket.example.com:7999/acme/shop.git"}
	onAzure := webhook.Repository{HTTP: "https://acme@dev.azure.com/acme/web/_git/shop"}
	onGitea := webhook.Repository{HTTP: "http://10.89.1.2:3000/acme/shop.git", SSH: "gitea@10.89.1.2:acme/shop.git", HTML: "http://10.89.1.2:3000/acme/shop"}
	main := webhook.Update{Ref: "refs/heads/main", After: after}
	old := webhook.Update{Ref: "refs/heads/old"}
	tag := webhook.Update{Ref: "refs/tags/v1.2.0", After: after}
	cases := map[string]struct {
		reason string
		want   webhook.Event
	}{
		"github-push": {"A push to a branch.", webhook.Event{
			Forge: webhook.GitHub, Kind: webhook.Push, Name: "push", Delivery: "72d3162e-cc78-11e3-81ab-4c9367dc0958", Repository: onGitHub, Updates: []webhook.Update{main},
		}},
		"github-branch-deleted": {"A deleted branch is at no commit.", webhook.Event{
			Forge: webhook.GitHub, Kind: webhook.Push, Name: "push", Delivery: "0d1a26e0-67f4-11ea-8f5e-6a2c0c5a3d3b", Repository: onGitHub, Updates: []webhook.Update{old},
		}},
		"github-pull-request-of-a-fork": {"Its head is of another repository.", webhook.Event{
			Forge: webhook.GitHub, Kind: webhook.PullRequestEvent, Name: "pull_request", Delivery: "b2d4a3c0-67f4-11ea-9d3d-1c6f65c3a2c1", Repository: onGitHub,
			PullRequest: webhook.PullRequest{Number: 7, Action: webhook.Updated, Head: after, HeadBranch: "limit", Base: "main", Fork: true, HeadRepository: guest},
		}},
		"github-pull-request-of-a-fork-that-is-gone": {"Then there is no repository.", webhook.Event{
			Forge: webhook.GitHub, Kind: webhook.PullRequestEvent, Name: "pull_request", Delivery: "c2d4a3c0-67f4-11ea-9d3d-1c6f65c3a2c1", Repository: onGitHub,
			PullRequest: webhook.PullRequest{Number: 7, Action: webhook.Closed, Head: after, HeadBranch: "limit", Base: "main", Fork: true},
		}},
		"github-ping":  {"A new hook is tried.", webhook.Event{Forge: webhook.GitHub, Kind: webhook.Ping, Name: "ping", Delivery: "d2d4a3c0-67f4-11ea-9d3d-1c6f65c3a2c1"}},
		"github-issue": {"Of no interest, and no mistake.", webhook.Event{Forge: webhook.GitHub, Kind: webhook.Other, Name: "issues", Delivery: "e2d4a3c0-67f4-11ea-9d3d-1c6f65c3a2c1"}},
		"gitlab-push": {"A subgroup is part of the path.", webhook.Event{
			Forge: webhook.GitLab, Kind: webhook.Push, Name: "push", Delivery: "f5e57a8f-4a1d-4f2e-9d0e-0f4bb1d3a111", Repository: onGitLab, Updates: []webhook.Update{main},
		}},
		"gitlab-tag": {"An old GitLab sends no id.", webhook.Event{
			Forge: webhook.GitLab, Kind: webhook.Push, Name: "tag_push", Repository: onGitLab, Updates: []webhook.Update{tag},
		}},
		"gitlab-system-push": {"A system hook names the event in its body alone.", webhook.Event{
			Forge: webhook.GitLab, Kind: webhook.Push, Name: "push", Repository: onGitLab, Updates: []webhook.Update{main},
		}},
		"gitlab-system-repository-update": {"One event for all refs.", webhook.Event{
			Forge: webhook.GitLab, Kind: webhook.Push, Name: "repository_update", Repository: onGitLab, Updates: []webhook.Update{main, old},
		}},
		"gitlab-system-user": {"A system hook tells of everything.", webhook.Event{Forge: webhook.GitLab, Kind: webhook.Other, Name: "user_create"}},
		"gitlab-merge-request": {"A pull request by another name.", webhook.Event{
			Forge: webhook.GitLab, Kind: webhook.PullRequestEvent, Name: "merge_request", Delivery: "a5e57a8f-4a1d-4f2e-9d0e-0f4bb1d3a111", Repository: onGitLab,
			PullRequest: webhook.PullRequest{
				Number: 7, Action: webhook.Updated, Head: after, HeadBranch: "limit", Base: "main", Fork: true,
				HeadRepository: webhook.Repository{
					HTTP: "https://gitlab.example.com/guest/shop.git", SSH: "git@gitlab.example.com:guest/shop.git", HTML: "https://gitlab.example.com/guest/shop",
				},
			},
		}},
		"bitbucket-push": {"Branches and tags of one push.", webhook.Event{
			Forge: webhook.Bitbucket, Kind: webhook.Push, Name: "repo:push", Delivery: "69c56047-577b-46f9-a1dd-9c4e27273bc1", Repository: onBitbucket,
			Updates: []webhook.Update{main, tag, old},
		}},
		"bitbucket-pull-request": {"Its head is abbreviated.", webhook.Event{
			Forge: webhook.Bitbucket, Kind: webhook.PullRequestEvent, Name: "pullrequest:created", Delivery: "79c56047-577b-46f9-a1dd-9c4e27273bc1", Repository: onBitbucket,
			PullRequest: webhook.PullRequest{Number: 7, Action: webhook.Opened, Head: after[:12], HeadBranch: "limit", Base: "main", HeadRepository: onBitbucket},
		}},
		"bitbucketserver-push": {"The same header as Bitbucket Cloud, another body.", webhook.Event{
			Forge: webhook.BitbucketServer, Kind: webhook.Push, Name: "repo:refs_changed", Delivery: "5d6c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b", Repository: onServer,
			Updates: []webhook.Update{main, old},
		}},
		"bitbucketserver-pull-request": {"Branches are refs, and forks those of a person.", webhook.Event{
			Forge: webhook.BitbucketServer, Kind: webhook.PullRequestEvent, Name: "pr:from_ref_updated", Delivery: "6d6c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b", Repository: onServer,
			PullRequest: webhook.PullRequest{
				Number: 7, Action: webhook.Updated, Head: after, HeadBranch: "feature/limit", Base: "main", Fork: true,
				HeadRepository: webhook.Repository{HTTP: "https://bitbucket.example.com/scm/~guest/shop.git"},
			},
		}},
		"bitbucketserver-ping": {"The button that tests a hook.", webhook.Event{
			Forge: webhook.BitbucketServer, Kind: webhook.Ping, Name: "diagnostics:ping", Delivery: "7d6c1a2b-3c4d-4e5f-8a9b-0c1d2e3f4a5b",
		}},
		"azuredevops-push": {"All is in the body.", webhook.Event{
			Forge: webhook.AzureDevOps, Kind: webhook.Push, Name: "git.push", Delivery: "03c164c2-8912-4d5e-8009-3707d5f83734", Repository: onAzure,
			Updates: []webhook.Update{main, tag},
		}},
		"azuredevops-pull-request": {"The status says that it is closed.", webhook.Event{
			Forge: webhook.AzureDevOps, Kind: webhook.PullRequestEvent, Name: "git.pullrequest.updated", Delivery: "af07be1b-f3ad-44c8-a7f1-c4835f2df06b", Repository: onAzure,
			PullRequest: webhook.PullRequest{Number: 7, Action: webhook.Closed, Head: after, HeadBranch: "limit", Base: "main", HeadRepository: onAzure},
		}},
		"azuredevops-work-item": {"Of no interest.", webhook.Event{Forge: webhook.AzureDevOps, Kind: webhook.Other, Name: "workitem.created", Delivery: "bf07be1b-f3ad-44c8-a7f1-c4835f2df06b"}},
		"generic-push": {"What a hook on a plain server sends.", webhook.Event{
			Forge: webhook.Generic, Kind: webhook.Push, Name: "push", Repository: webhook.Repository{HTTP: "ssh://git@git.example.com/srv/shop.git"}, Updates: []webhook.Update{main},
		}},
		"generic-any": {"Any ref may have moved.", webhook.Event{
			Forge: webhook.Generic, Kind: webhook.Push, Name: "push", Repository: webhook.Repository{HTTP: "https://git.example.com/srv/shop"},
		}},
		"gitea-push": {"As a Gitea sent it.", webhook.Event{
			Forge: webhook.Gitea, Kind: webhook.Push, Name: "push", Delivery: "6c987e16-ea65-4331-a070-6e1c7af301a8", Repository: onGitea,
			Updates: []webhook.Update{{Ref: "refs/heads/main", After: "ea5baae8fb654cb786b420e06a80e51983706957"}},
		}},
		"gitea-tag": {"A tag is pushed, too.", webhook.Event{
			Forge: webhook.Gitea, Kind: webhook.Push, Name: "push", Delivery: "ca8db11e-762a-40b7-883c-62c3f9a6231a", Repository: onGitea,
			Updates: []webhook.Update{{Ref: "refs/tags/v1.0.0", After: "ea5baae8fb654cb786b420e06a80e51983706957"}},
		}},
		"gitea-delete": {"A deleted branch goes by its short name.", webhook.Event{
			Forge: webhook.Gitea, Kind: webhook.Push, Name: "delete", Delivery: "935b6ff2-11f6-4d68-b914-3abc990a2b87", Repository: onGitea,
			Updates: []webhook.Update{{Ref: "refs/heads/limit"}},
		}},
		"gitea-create": {"A push tells of it, too.", webhook.Event{Forge: webhook.Gitea, Kind: webhook.Other, Name: "create", Delivery: "7019af3c-3b77-4436-ba7c-0491e2e04765"}},
		"gitea-pull-request": {"One within the repository.", webhook.Event{
			Forge: webhook.Gitea, Kind: webhook.PullRequestEvent, Name: "pull_request", Delivery: "ac61531b-8e40-490d-8347-6fce05f9c0ed", Repository: onGitea,
			PullRequest: webhook.PullRequest{Number: 1, Action: webhook.Opened, Head: "0885a44638fbcd975668d3ded29aef3501d4172a", HeadBranch: "limit", Base: "main", HeadRepository: onGitea},
		}},
		"forgejo-push": {"Forgejo has headers of its own beside those of Gitea.", webhook.Event{
			Forge: webhook.Gitea, Kind: webhook.Push, Name: "push", Delivery: "3d7e0e56-9a3b-4c7e-b5a2-0c1f7a0e4f11",
			Repository: webhook.Repository{HTTP: "https://codeberg.org/acme/shop.git", SSH: "ssh://git@codeberg.org/acme/shop.git", HTML: "https://codeberg.org/acme/shop"},
			Updates:    []webhook.Update{main},
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := webhook.Parse(request(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) != len(cases) {
		t.Errorf("%d requests of %d are looked at: %v", len(cases), len(files), err)
	}
}

func TestWhatIsNotAsItShouldBeIsRefusedWithTheReason(t *testing.T) {
	cases := map[string]struct{ reason, request, old, new, want string }{
		"NoJSON":         {"Something else was sent.", "github-push", "{", "ref=main", "malformed: push of github: the body is no JSON: "},
		"Truncated":      {"Half a body.", "gitlab-push", "}", "", "malformed: Push Hook of gitlab: the body is no JSON: "},
		"Type":           {"A field of another type.", "github-push", `"ref": "refs/heads/main"`, `"ref": 1`, "malformed: push of github: ref: is no string"},
		"Array":          {"No object at all.", "generic-any", `{"repository": "https://git.example.com/srv/shop"}`, `[]`, "malformed: event of generic: the body: is no object"},
		"NoRef":          {"A push moves a ref.", "github-push", `"ref": "refs/heads/main", `, ``, `malformed: push of github: ref: "" is not the full name of a ref, as refs/heads/main`},
		"ShortRef":       {"Of a short name nobody knows what it is.", "generic-push", `refs/heads/main`, `main`, `ref: "main" is not the full name`},
		"LongRef":        {"What is kept is bounded.", "generic-push", `refs/heads/main`, `refs/heads/` + strings.Repeat("x", 1024), `is not the full name of a ref`},
		"NoCommit":       {"Neither is it a name.", "github-push", `"after": "` + after, `"after": "main`, "refs/heads/main: what it is at now is the name of no commit"},
		"ShortCommit":    {"A push is at a whole one.", "bitbucketserver-push", after + `", "type": "UPDATE"`, after[:12] + `", "type": "UPDATE"`, "is the name of no commit"},
		"CommitAlone":    {"It is at no ref.", "generic-push", `"ref": "refs/heads/main", `, ``, "ref: is missing beside commit"},
		"NoRepository":   {"Nobody would know what was pushed to.", "generic-push", "ssh://git@git.example.com/srv/shop.git", "", "the URL of the repository is missing, or is none of a server"},
		"LocalFile":      {"A file is on no server.", "generic-push", "ssh://git@git.example.com/srv/shop.git", "file:///srv/shop", "or is none of a server"},
		"NoLinks":        {"A Bitbucket Server before 5.14 does not say its address.", "bitbucketserver-push", `"clone"`, `"none"`, "the URL of the repository is missing"},
		"LongURL":        {"What is kept is bounded.", "generic-push", "/srv/shop.git", strings.Repeat("/x", 1024), "the URL of the repository has more than 2048 bytes"},
		"Object":         {"A body of a forge without its headers.", "generic-push", `"ssh://git@git.example.com/srv/shop.git"`, `{}`, "repository: is no string"},
		"Azure":          {"An event of Azure DevOps that has no repository.", "azuredevops-push", "remoteUrl", "nowhere", "malformed: git.push of azuredevops: the URL of the repository is missing"},
		"NoNumber":       {"A pull request has a number.", "github-pull-request-of-a-fork", `"number": 7, "before"`, `"before"`, "the number of the pull request: 0 is none"},
		"NegativeNumber": {"Nor is this one.", "gitlab-merge-request", `"iid": 7`, `"iid": -7`, "the number of the pull request: -7 is none"},
		"NoHead":         {"A pull request has a head.", "azuredevops-pull-request", `"lastMergeSourceCommit"`, `"none"`, "the head of the pull request is the name of no commit"},
		"NoBase":         {"And a base.", "bitbucketserver-pull-request", `"refs/heads/main"`, `""`, "the branches of the pull request"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			header, body := request(t, tc.request)
			if !bytes.Contains(body, []byte(tc.old)) {
				t.Fatalf("%s has no %s", tc.request, tc.old)
			}
			body = bytes.ReplaceAll(body, []byte(tc.old), []byte(tc.new))
			_, err := webhook.Parse(header, body)
			if !errors.Is(err, webhook.ErrMalformed) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\ngot %v, want %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestWhatHappenedToAPullRequestIsSaidAlikeOfAllForges(t *testing.T) {
	cases := map[string]struct {
		reason, request string
		// old is replaced by new, in the headers and in the body.
		old, new string
		want     webhook.Action
	}{
		"GitHubReopened":    {"It is open again.", "github-pull-request-of-a-fork", "synchronize", "reopened", webhook.Opened},
		"GitHubClosed":      {"Merged or not.", "github-pull-request-of-a-fork", "synchronize", "closed", webhook.Closed},
		"GitHubLabeled":     {"What is not known is of no consequence.", "github-pull-request-of-a-fork", "synchronize", "labeled", webhook.Updated},
		"GitLabOpened":      {"GitLab has words of its own.", "gitlab-merge-request", `"action": "update"`, `"action": "open"`, webhook.Opened},
		"GitLabMerged":      {"Merged is closed.", "gitlab-merge-request", `"action": "update"`, `"action": "merge"`, webhook.Closed},
		"BitbucketUpdated":  {"Bitbucket says it in the event.", "bitbucket-pull-request", "pullrequest:created", "pullrequest:updated", webhook.Updated},
		"BitbucketMerged":   {"Fulfilled is merged.", "bitbucket-pull-request", "pullrequest:created", "pullrequest:fulfilled", webhook.Closed},
		"BitbucketDeclined": {"Rejected is declined.", "bitbucket-pull-request", "pullrequest:created", "pullrequest:rejected", webhook.Closed},
		"ServerOpened":      {"So does its server.", "bitbucketserver-pull-request", "pr:from_ref_updated", "pr:opened", webhook.Opened},
		"ServerDeclined":    {"In other words.", "bitbucketserver-pull-request", "pr:from_ref_updated", "pr:declined", webhook.Closed},
		"ServerComment":     {"A comment changes nothing.", "bitbucketserver-pull-request", "pr:from_ref_updated", "pr:comment:added", ""},
		"CloudComment":      {"Nor there.", "bitbucket-pull-request", "pullrequest:created", "pullrequest:comment_created", ""},
		"AzureAbandoned":    {"And in the status.", "azuredevops-pull-request", "completed", "abandoned", webhook.Closed},
		"AzureUpdated":      {"An open one was updated.", "azuredevops-pull-request", "completed", "active", webhook.Updated},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			header, body := request(t, tc.request)
			if key := header.Get("X-Event-Key"); key == tc.old {
				header.Set("X-Event-Key", tc.new)
			}
			event, err := webhook.Parse(header, bytes.ReplaceAll(body, []byte(tc.old), []byte(tc.new)))
			if err != nil || event.PullRequest.Action != tc.want {
				t.Errorf("%s\ngot %q %v, want %q", tc.reason, event.PullRequest.Action, err, tc.want)
			}
		})
	}
	header, body := request(t, "azuredevops-pull-request")
	for old, opened := range map[string]string{"git.pullrequest.updated": "git.pullrequest.created", "completed": "active"} {
		body = bytes.ReplaceAll(body, []byte(old), []byte(opened))
	}
	if event, err := webhook.Parse(header, body); err != nil || event.PullRequest.Action != webhook.Opened {
		t.Errorf("a new one of Azure DevOps is %q %v", event.PullRequest.Action, err)
	}
}

func TestWhatCannotBeSaidInFullIsSaidAsAny(t *testing.T) {
	header, _ := request(t, "gitlab-system-repository-update")
	many := `{"event_name":"repository_update","project":{"git_http_url":"https://gitlab.example.com/acme/shop"},"changes":[` +
		strings.Repeat(`{"ref":"refs/heads/a"},`, 1000) + `{"ref":"refs/heads/b"}]}`
	event, err := webhook.Parse(header, []byte(many))
	if err != nil || event.Updates != nil {
		t.Errorf("of a push of 1001 refs %d are kept: %v", len(event.Updates), err)
	}
	header, body := request(t, "github-push")
	header.Set("X-GitHub-Delivery", strings.Repeat("x", 257))
	if event, err = webhook.Parse(header, body); err != nil || event.Delivery != "" {
		t.Errorf("an id of 257 bytes is kept: %v", err)
	}
}

func TestARepositoryIsOneByAllItsURLs(t *testing.T) {
	cases := map[string]struct {
		reason string
		of     webhook.Repository
		want   []string
	}{
		"Same":   {"Most URLs differ in form alone.", webhook.Repository{HTTP: "https://github.com/Acme/shop.git", SSH: "git@github.com:acme/shop.git", HTML: "https://github.com/acme/shop"}, []string{"github.com/acme/shop"}},
		"Others": {"SSH may be served by a host of its own.", webhook.Repository{HTTP: "https://git.example.com/acme/shop", SSH: "ssh://git@ssh.example.com/acme/shop"}, []string{"git.example.com/acme/shop", "ssh.example.com/acme/shop"}},
		"None":   {"What is no URL is no repository.", webhook.Repository{HTML: "shop"}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.of.Identities()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// FuzzParse: no request makes the reader panic, and what it takes holds to its limits.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		f.Fatalf("no requests to begin with: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		reader := bufio.NewReader(bytes.NewReader(text))
		header, _ := textproto.NewReader(reader).ReadMIMEHeader() // what was read before an error counts
		body, _ := io.ReadAll(reader)                             // nor does the reader of bytes fail
		webhook.Signs(http.Header(header), body, []byte("key"))
		webhook.Shows(http.Header(header), "token")
		event, err := webhook.Parse(http.Header(header), body)
		if err != nil {
			if !errors.Is(err, webhook.ErrMalformed) || len(err.Error()) > 1024 {
				t.Errorf("the error is %v", err)
			}
			return
		}
		switch event.Kind {
		case webhook.Push, webhook.PullRequestEvent:
			if len(event.Repository.Identities()) == 0 {
				t.Errorf("of no repository: %+v", event)
			}
		case webhook.Ping, webhook.Other:
			if event.Updates != nil || event.PullRequest != (webhook.PullRequest{}) {
				t.Errorf("%s says more: %+v", event.Kind, event)
			}
		default:
			t.Errorf("of no kind: %+v", event)
		}
		if event.Forge == "" || len(event.Name) > 64 || len(event.Delivery) > 256 || len(event.Updates) > 1000 {
			t.Errorf("it is not held to the limits: %+v", event)
		}
		for _, u := range event.Updates {
			if !strings.HasPrefix(u.Ref, "refs/") || len(u.Ref) > 1024 {
				t.Errorf("ref %q", u.Ref)
			}
		}
	})
}
