package forge_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/gitsource/forge"
)

const (
	unknownCommit = "dddddddddddddddddddddddddddddddddddddddd"
	secret        = "s3cret-t0ken"
)

// A backend is what takes statuses in, opened anew for each test.
type backend struct {
	reporter forge.Reporter
	// commit is one that it has, and that has no status yet.
	commit string
	// takesAny is set if it takes statuses of commits that it does not have.
	takesAny bool
	// fail makes every following request meet the fault; nil if it cannot.
	fail func(fault)
}

// A fault is what goes wrong with a request.
type fault struct {
	code   int
	header http.Header
	cut    bool   // the connection ends in the middle
	hang   bool   // no answer comes
	said   string // the explanation; long, and with the token in it, where it is empty
}

// backends is everything that must keep Reporter's promises.
var backends = map[string]func(*testing.T) backend{
	"Gitea": func(t *testing.T) backend {
		server := newGitea(t)
		return backend{reporter: server.open(t, secret), commit: knownCommit, fail: server.fail}
	},
	"GitHub":       openFakeGitHub,
	"GitHubChecks": openFakeGitHubChecks,
	"Notes": func(t *testing.T) backend {
		store := &noteStore{commits: map[string][]string{knownCommit: nil}}
		return backend{reporter: openNotes(t, store, "west"), commit: knownCommit, fail: store.fail}
	},
	"GitLab":             openFakeGitLab,
	"Bitbucket":          openFakeBitbucket,
	"BitbucketServer":    openFakeBitbucketServer,
	"AzureDevOps":        openFakeAzureDevOps,
	"NotesOfARepository": openRepositoryNotes,
	"GiteaServer":        openRealGitea,
}

// anyTime: forges keep their own.
var anyTime = cmpopts.IgnoreFields(forge.Status{}, "Time")

func status(commit string, state forge.State, description string) forge.Status {
	return forge.Status{
		Commit:      commit,
		Context:     "keptn/prod/checkout/deployment",
		State:       state,
		Description: description,
		TargetURL:   "https://keptn.example.com/checkout?a=1&b=2",
		Time:        time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
}

func TestWhatWasSetIsReadBack(t *testing.T) {
	long := strings.Repeat("ab ", 2000)
	cases := map[string]struct {
		reason string
		set    func(commit string) []forge.Status
	}{
		"OneStatus": {
			reason: "What is set is the latest of its context.",
			set:    func(c string) []forge.Status { return []forge.Status{status(c, forge.Success, "passed")} },
		},
		"EveryState": {
			reason: "The newest counts, whatever was before it, also within one second.",
			set: func(c string) []forge.Status {
				all := []forge.Status{
					status(c, forge.Failure, "a"), status(c, forge.Success, "b"), status(c, forge.Warning, "c"),
					status(c, forge.Error, "d"), status(c, forge.Pending, "e"), status(c, forge.Warning, ""),
				}
				for i := range all {
					all[i].Time = all[i].Time.Add(time.Duration(i) * time.Millisecond)
				}
				return all
			},
		},
		"Twice": {
			reason: "Saying the same again changes nothing that is read.",
			set: func(c string) []forge.Status {
				return []forge.Status{status(c, forge.Failure, "no"), status(c, forge.Failure, "no")}
			},
		},
		"Unicode": {
			reason: "Authors write in their own language.",
			set: func(c string) []forge.Status {
				s := status(c, forge.Warning, "Fehlerquote über 1 % — 注意 👩‍👩‍👧 <b>\"&\"</b>")
				s.Context = "keptn/größe/结帐"
				return []forge.Status{s}
			},
		},
		"SeveralLines": {
			reason: "A description is one line; line ends and control characters in it must not break anything.",
			set: func(c string) []forge.Status {
				return []forge.Status{status(c, forge.Error, " a\r\nb\t\x00c\xff\u2028 ")}
			},
		},
		"TooLong": {
			reason: "Texts longer than the forge takes are cut, not refused.",
			set: func(c string) []forge.Status {
				s := status(c, forge.Warning, long)
				s.Context = "keptn/prod/" + strings.Repeat("long", 200)
				return []forge.Status{s}
			},
		},
		"NoDetails": {
			reason: "Description and target are optional.",
			set: func(c string) []forge.Status {
				s := status(c, forge.Success, "")
				s.TargetURL = ""
				return []forge.Status{s}
			},
		},
	}
	for name, open := range backends {
		for c, tc := range cases {
			t.Run(name+"/"+c, func(t *testing.T) {
				t.Parallel()
				b := open(t)
				for _, s := range tc.set(b.commit) {
					if err := b.reporter.Set(t.Context(), s); err != nil {
						t.Fatalf("%s\nSet: %v", tc.reason, err)
					}
					got, found, err := b.reporter.Latest(t.Context(), s.Commit, s.Context)
					if err != nil || !found {
						t.Fatalf("%s\nLatest: found %t, %v", tc.reason, found, err)
					}
					fit := b.reporter.Fit(s)
					if diff := cmp.Diff(fit, got, anyTime); diff != "" {
						t.Errorf("%s\nLatest is not what Fit foretold (-Fit +Latest):\n%s", tc.reason, diff)
					}
					if diff := cmp.Diff(fit, b.reporter.Fit(fit)); diff != "" {
						t.Errorf("%s\nWhat fits must fit as it is:\n%s", tc.reason, diff)
					}
					if got.State != s.State {
						t.Errorf("%s\nstate: got %s, want %s", tc.reason, got.State, s.State)
					}
				}
			})
		}
	}
}

func TestShortTextsAreKeptWordForWord(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			for _, state := range []forge.State{forge.Pending, forge.Success, forge.Warning, forge.Failure, forge.Error} {
				s := status(b.commit, state, "error ratio 2 % > 1 %")
				if diff := cmp.Diff(s, b.reporter.Fit(s)); diff != "" {
					t.Errorf("(-put +fit):\n%s", diff)
				}
			}
		})
	}
}

func TestLongTextsAreCutByRuneAndLongContextsStayApart(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			s := status(b.commit, forge.Failure, strings.Repeat("ü", 5000))
			s.Context = strings.Repeat("注", 300) + "a"
			fit := b.reporter.Fit(s)
			if n := utf8.RuneCountInString(fit.Description); n >= 5000 || !strings.HasSuffix(fit.Description, "ü…") {
				t.Errorf("description: %d runes, ends in %q", n, fit.Description[len(fit.Description)-5:])
			}
			other := s
			other.Context = strings.Repeat("注", 300) + "b"
			for _, one := range []forge.Status{s, other} {
				if err := b.reporter.Set(t.Context(), one); err != nil {
					t.Fatal(err)
				}
			}
			if a, o := fit.Context, b.reporter.Fit(other).Context; a == o || utf8.RuneCountInString(a) != 255 {
				t.Errorf("contexts %q and %q must stay two, of 255 runes", a, o)
			}
			if _, found, err := b.reporter.Latest(t.Context(), s.Commit, s.Context); err != nil || !found {
				t.Errorf("Latest must know the context by its full name: found %t, %v", found, err)
			}
		})
	}
}

func TestContextsOfOneCommitAreIndependent(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			one, other := status(b.commit, forge.Success, "one"), status(b.commit, forge.Failure, "other")
			other.Context = "keptn/prod/validate"
			if _, found, err := b.reporter.Latest(t.Context(), b.commit, one.Context); err != nil || found {
				t.Fatalf("nothing set yet: found %t, %v", found, err)
			}
			for _, s := range []forge.Status{one, other} {
				if err := b.reporter.Set(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			got, _, err := b.reporter.Latest(t.Context(), b.commit, one.Context)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(one, got, anyTime); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, found, err := b.reporter.Latest(t.Context(), b.commit, "keptn/prod"); err != nil || found {
				t.Errorf("part of a context is none: found %t, %v", found, err)
			}
		})
	}
}

func TestACommitNobodyHasIsNotFound(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			if b.takesAny {
				t.Skip("a note may be there before its commit")
			}
			err := b.reporter.Set(t.Context(), status(unknownCommit, forge.Success, ""))
			if !errors.Is(err, forge.ErrNotFound) {
				t.Errorf("Set: got %v, want ErrNotFound", err)
			}
			if _, _, err = b.reporter.Latest(t.Context(), unknownCommit, "keptn/prod/validate"); !errors.Is(err, forge.ErrNotFound) {
				t.Errorf("Latest: got %v, want ErrNotFound", err)
			}
		})
	}
}

func TestAStatusThatMakesNoSenseIsRejected(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*forge.Status)
	}{
		"ShortCommit":  {"Statuses hang on full names.", func(s *forge.Status) { s.Commit = s.Commit[:7] }},
		"NoCommit":     {"A ref is no commit.", func(s *forge.Status) { s.Commit = "main" }},
		"NoContext":    {"A forge would call it \"default\".", func(s *forge.Status) { s.Context = " " }},
		"UnknownState": {"Gitea would store any word.", func(s *forge.Status) { s.State = "great" }},
	}
	for name, open := range backends {
		for c, tc := range cases {
			t.Run(name+"/"+c, func(t *testing.T) {
				t.Parallel()
				b := open(t)
				s := status(b.commit, forge.Success, "")
				tc.change(&s)
				if err := b.reporter.Set(t.Context(), s); !errors.Is(err, forge.ErrRejected) {
					t.Errorf("%s\ngot %v, want ErrRejected", tc.reason, err)
				}
			})
		}
	}
}

func TestErrorsSayWhatACallerCanDo(t *testing.T) {
	limited := &forge.RateLimitedError{RetryAfter: 7 * time.Second}
	after := func(value string) http.Header { return http.Header{"Retry-After": {value}} }
	cases := map[string]struct {
		reason string
		fault  fault
		want   error
	}{
		"BadToken":      {"Only a new token helps.", fault{code: 401}, forge.ErrUnauthorized},
		"Forbidden":     {"Only another token helps.", fault{code: 403}, forge.ErrUnauthorized},
		"Missing":       {"The repository may be gone or hidden.", fault{code: 404}, forge.ErrNotFound},
		"Conflict":      {"The same again would conflict again.", fault{code: 409}, forge.ErrRejected},
		"Unprocessable": {"The forge understood and refused.", fault{code: 422}, forge.ErrRejected},
		"Archived":      {"An archived repository takes nothing.", fault{code: 423}, forge.ErrRejected},
		"TooMany":       {"The forge says how long to wait.", fault{code: 429, header: after("7")}, limited},
		"SlowDown":      {"GitHub's secondary limit is a 403.", fault{code: 403, header: after("7")}, limited},
		"Maintenance":   {"A 503 may say when it ends.", fault{code: 503, header: after("7")}, limited},
		"Fault":         {"The forge's fault passes.", fault{code: 502}, forge.ErrTemporary},
		"Reset":         {"Whether it was taken in is open.", fault{cut: true}, forge.ErrTemporary},
		"NoAnswer":      {"The caller's deadline counts.", fault{hang: true}, context.DeadlineExceeded},
	}
	for name, open := range backends {
		for c, tc := range cases {
			t.Run(name+"/"+c, func(t *testing.T) {
				t.Parallel()
				b := open(t)
				if b.fail == nil {
					t.Skip("a real server cannot be told to fail like this")
				}
				b.fail(tc.fault)
				ctx := t.Context()
				if tc.fault.hang {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
					defer cancel()
				}
				_, _, asked := b.reporter.Latest(ctx, b.commit, "keptn/prod/validate")
				for call, err := range map[string]error{
					"Set":    b.reporter.Set(ctx, status(b.commit, forge.Success, "")),
					"Latest": asked,
				} {
					checkFault(t, tc.reason+"\n"+call, err, tc.want)
				}
			})
		}
	}
}

// checkFault compares an error's kind, and that it is fit to be shown.
func checkFault(t *testing.T, reason string, err, want error) {
	t.Helper()
	var got, limited *forge.RateLimitedError
	if errors.As(want, &limited) {
		if !errors.As(err, &got) || got.RetryAfter != limited.RetryAfter {
			t.Errorf("%s: got %v, want to wait for %s", reason, err, limited.RetryAfter)
		}
	} else if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", reason, err, want)
	}
	if err == nil {
		return
	}
	if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, "\n") || len(text) > 1500 {
		t.Errorf("%s: the error shows the token, or is too long to show: %s", reason, text)
	}
	if errors.Is(want, context.DeadlineExceeded) && !errors.Is(err, forge.ErrTemporary) {
		t.Errorf("%s: a deadline leaves open what happened: got %v", reason, err)
	}
}
