package promotion_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/promotion"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/telemetry"
)

func TestADeliveryIsPromotedByAPullRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tip := w.repo.Commit("main", "Elsewhere", map[string]string{"README": "1"})
	result := w.promote(t)

	if got, want := w.repo.Git("diff", "-U0", tip, branch), "-  newTag: v1 # by keptn\n+  newTag: v2 # by keptn"; !strings.HasSuffix(got, want) {
		t.Errorf("the branch changes\n%s\nwant\n%s", got, want)
	}
	if got := w.repo.Git("diff", "--name-only", tip, branch); got != file {
		t.Errorf("the branch changes %s", got)
	}
	sha := w.kav.Spec.Commit.SHA
	facts := []string{
		"Keptn-App: checkout", "Keptn-Environment: staging", "Keptn-Version: " + sha[:7],
		"Keptn-Commit: " + w.repo.URL + "@" + sha,
		"Traceparent: " + telemetry.PhaseTraceparent(w.kav.UID, lifecyclev1.PhasePromotion),
	}
	want := "Promote checkout " + sha[:7] + " from staging\n\nghcr.io/acme/checkout:v2 in " + file + "\n\n" + strings.Join(facts, "\n") + "\n"
	if diff := cmp.Diff(want, w.repo.Git("log", "-1", "--format=%B", branch)); diff != "" {
		t.Errorf("the message of the commit (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Join(facts, "\n"), strings.TrimSpace(w.repo.Git("log", "-1", "--format=%(trailers:only)", branch))); diff != "" {
		t.Errorf("the trailers, as Git reads them (-want +got):\n%s", diff)
	}
	if got := w.repo.Git("log", "-1", "--format=%aI %cI", branch); got != "2026-05-06T07:08:09+00:00 2026-05-06T07:08:09+00:00" {
		t.Errorf("the commit is of %s, want the begin of the promotion", got)
	}

	if len(w.gitea.pulls) != 1 {
		t.Fatalf("there are %d pull requests", len(w.gitea.pulls))
	}
	pull := w.gitea.pulls[0]
	wantBody := "`checkout` `" + sha[:7] + "` passed in `staging`.\n\n- `ghcr.io/acme/checkout:v2` in `" + file + "`\n" +
		"\n| Check | When | Result |\n|---|---|---|\n| `checkout-slo` | evaluation after the deployment | Succeeded |\n\n| | |\n|---|---|"
	for _, fact := range facts {
		key, value, _ := strings.Cut(fact, ": ")
		wantBody += "\n| " + key + " | `" + value + "` |"
	}
	if diff := cmp.Diff(wantBody, pull["body"]); diff != "" {
		t.Errorf("the pull request says (-want +got):\n%s", diff)
	}
	if pull["repository"] != "acme/shop" || pull["title"] != "Promote checkout "+sha[:7]+" from staging" {
		t.Errorf("the pull request is %v", pull)
	}
	wanted := promotion.Result{
		URL:     "https://git.example.com/pulls/1",
		Message: "pull request 1 to main of " + w.repo.URL + ": ghcr.io/acme/checkout:v2 in " + file,
	}
	if diff := cmp.Diff(wanted, result); diff != "" {
		t.Errorf("the result (-want +got):\n%s", diff)
	}
}

func TestATraceIsNamedOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.untraced = true
	w.promote(t)
	body, _ := w.gitea.pulls[0]["body"].(string)
	for what, text := range map[string]string{"commit": w.repo.Git("log", "-1", "--format=%B", branch), "pull request": body} {
		if !strings.Contains(text, w.kav.Spec.Commit.SHA) || strings.Contains(text, "raceparent") {
			t.Errorf("the %s says\n%s", what, text)
		}
	}
}

func TestAPromotionThatIsRepeatedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.promoter(t)
	for range 2 {
		if _, err := p.Promote(t.Context(), w.kav); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.repo.Git("rev-list", "--count", "main.."+branch); got != "1" || len(w.gitea.pulls) != 1 {
		t.Errorf("there are %s commits and %d pull requests, want one of each", got, len(w.gitea.pulls))
	}
}

func TestANewerDeliveryTakesOverThePullRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.promote(t)
	next := w.repo.Commit("main", "Deliver v3", map[string]string{"apps/staging/checkout/kustomization.yaml": strings.ReplaceAll(staging, "v2", "v3")})
	w.kav.Spec.Commit.SHA, w.kav.Spec.Version, w.kav.UID = next, next[:7], "another"
	w.promote(t)
	if got := w.repo.Git("show", branch+":"+file); !strings.Contains(got, "newTag: v3") {
		t.Errorf("the branch has\n%s", got)
	}
	if got := w.gitea.pulls[0]["title"]; len(w.gitea.pulls) != 1 || got != "Promote checkout "+next[:7]+" from staging" {
		t.Errorf("there are %d pull requests, the first is %q", len(w.gitea.pulls), got)
	}
}

func TestWhatIsPromotedAlreadyNeedsNoPullRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repo.Commit("main", "By hand", map[string]string{file: strings.ReplaceAll(production, "v1", "v2")})
	want := promotion.Result{Message: "main of " + w.repo.URL + " has it all: ghcr.io/acme/checkout:v2 in " + file}
	if diff := cmp.Diff(want, w.promote(t)); diff != "" || w.gitea.asked != 0 {
		t.Errorf("the forge was asked %d times (-want +got):\n%s", w.gitea.asked, diff)
	}
}

func TestFilesAreCopiedAndImagesSetInTheCopies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{
		{From: "apps/staging/checkout/config.env", To: "apps/production/checkout/config.env"},
		{From: "./apps/base/deployment.yaml", To: file + ".new"},
	}
	w.kav.Spec.PullRequest.Images = append(w.kav.Spec.PullRequest.Images, gitopsv1alpha1.PromotedImage{Name: "ghcr.io/acme/checkout", File: "values.yaml"})
	w.repo.Commit("main", "Values", map[string]string{"values.yaml": "image: {repository: ghcr.io/acme/checkout, tag: v1}\n"})
	w.kav.Spec.PullRequest.Title = "Ship\nKeptn-App: other"
	w.promote(t)
	for path, want := range map[string]string{
		"apps/production/checkout/config.env": "A=2",
		file + ".new":                         strings.TrimSpace(deployment),
		"values.yaml":                         "image: {repository: ghcr.io/acme/checkout, tag: v2}",
	} {
		if got := w.repo.Git("show", branch+":"+path); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
		}
	}
	if got := w.repo.Git("log", "-1", "--format=%s", branch); got != "Ship Keptn-App: other" {
		t.Errorf("the title is %q", got)
	}
}

func TestTheNextStageMayBeAnotherRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.next(t)
	// The same path is another file there.
	w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{{From: "apps/staging/checkout/kustomization.yaml", To: "apps/staging/checkout/kustomization.yaml"}}
	w.promote(t)
	if got := live.Git("show", branch+":"+file); !strings.Contains(got, "newTag: v2 # by keptn") {
		t.Errorf("the branch has\n%s", got)
	}
	if w.gitea.pulls[0]["repository"] != "acme/live" || w.repo.Git("branch", "--list", "keptn/*") != "" {
		t.Errorf("the pull request is %v", w.gitea.pulls[0])
	}
}

func TestTheNextStageMayBeABranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repo.ForcePush("live", w.repo.Commit("main", "Live", map[string]string{"apps/staging/checkout/kustomization.yaml": strings.ReplaceAll(staging, "v2", "v1")}))
	w.kav.Spec.PullRequest.Branch = "live"
	w.kav.Spec.PullRequest.Images[0].File = "apps/staging/checkout/kustomization.yaml"
	w.promote(t)
	if got := w.repo.Git("show", branch+":apps/staging/checkout/kustomization.yaml"); got != strings.TrimSpace(staging) {
		t.Errorf("the branch has\n%s", got)
	}
	if got := w.gitea.pulls[0]["base"].(map[string]any)["ref"]; got != "live" {
		t.Errorf("the pull request goes into %v", got)
	}
}

func TestASecretOfItsOwnOpensTheNextStageElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.next(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			w.gitea.Config.Handler.ServeHTTP(rw, r)
			return
		}
		w.git.ServeHTTP(rw, r)
	}))
	defer elsewhere.Close()
	w.source.Spec.URL = w.repo.Dir // needs no password
	w.source.Spec.SecretRef, w.source.Spec.Statuses.APIURL = nil, "http://127.0.0.1:1"
	w.source.Spec.Statuses.SecretRef.Name = "git"
	w.source.Spec.AllowedSecrets = []string{"next"}
	w.secret("next", map[string]string{"username": "git", "password": password, "token": token})
	w.kav.Spec.PullRequest.SecretRef = &meta.LocalObjectReference{Name: "next"}
	w.kav.Spec.PullRequest.Repository = elsewhere.URL + "/acme/live.git"
	result := w.promote(t)
	if got := live.Git("show", branch+":"+file); !strings.Contains(got, "newTag: v2") || result.URL == "" {
		t.Errorf("%+v; the branch has\n%s", result, got)
	}
}

func TestWhatAPromotionMustNotDoIsRefusedForGood(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		change func(*world)
		says   string
	}{
		"Stranger": {"A delivery that somebody else made has no secrets.", func(w *world) { w.kav.OwnerReferences = nil }, "not one of the Lifecycle"},
		"StrangeNamespace": {"Neither has one of a namespace that is not governed.", func(w *world) {
			w.kav.Namespace = "evil"
			w.others = append(w.others, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "evil", Annotations: map[string]string{gitopsv1alpha1.AllowFromAnnotation: "shop"}}})
		}, "not one of the Lifecycle"},
		"NotAllowed":    {"Git names only Secrets that it may.", func(w *world) { w.kav.Spec.PullRequest.SecretRef = &meta.LocalObjectReference{Name: "forge"} }, "spec.allowedSecrets"},
		"Abroad":        {"Secrets go nowhere else.", func(w *world) { w.kav.Spec.PullRequest.Repository = "https://evil.example.com/acme/shop" }, "name another one"},
		"AnotherPort":   {"A port is another server.", func(w *world) { w.kav.Spec.PullRequest.Repository = "http://127.0.0.1:1/acme/shop" }, "name another one"},
		"InTheClear":    {"Nor in the clear.", func(w *world) { w.source.Spec.URL = strings.Replace(w.source.Spec.URL, "http", "https", 1); w.next(t) }, "name another one"},
		"Folder":        {"The controller's disk is not Git's to name.", func(w *world) { w.kav.Spec.PullRequest.Repository = "/etc" }, "is a folder"},
		"Credentials":   {"They belong into a Secret.", func(w *world) { w.kav.Spec.PullRequest.Repository = "https://me:" + password + "@git.example.com/a/b" }, "must not hold credentials"},
		"NoURL":         {"It leads nowhere.", func(w *world) { w.kav.Spec.PullRequest.Repository = "ftp://me:" + password + "@git.example.com/a/b" }, "scheme"},
		"Generic":       {"Git alone has no pull requests.", func(w *world) { w.source.Spec.Provider = gitopsv1alpha1.GenericProvider }, "has no pull requests"},
		"Unknown":       {"A forge that is not known cannot be asked.", func(w *world) { w.kav.Spec.PullRequest.Provider = "gitee" }, `"gitee"`},
		"NoToken":       {"Somebody has to give it.", func(w *world) { w.source.Spec.Statuses.SecretRef = nil }, "no token"},
		"NoSecret":      {"As above.", func(w *world) { w.source.Spec.Statuses.SecretRef.Name = "none" }, `no Secret "none"`},
		"WrongToken":    {"As above.", func(w *world) { w.source.Spec.Statuses.SecretRef.Name = "git"; w.secretToken("git") }, "not allowed"},
		"WrongPassword": {"As above.", func(w *world) { w.git.RequirePassword("git", "another") }, "unauthorized"},
		"NoBranch":      {"It is not made.", func(w *world) { w.kav.Spec.PullRequest.Branch = "none" }, "refs/heads/none"},
		"OwnBranch":     {"A branch does not go into itself.", func(w *world) { w.repo.ForcePush(branch, "main"); w.kav.Spec.PullRequest.Branch = branch }, "the pull request itself"},
		"NoFile":        {"A file that is set has to be there.", func(w *world) { w.kav.Spec.PullRequest.Images[0].File = "none.yaml" }, "none.yaml"},
		"Outside":       {"A path stays in the repository.", func(w *world) { w.kav.Spec.PullRequest.Images[0].File = "../../etc/passwd" }, "invalid"},
		"NoImage":       {"What was not delivered is not promoted.", func(w *world) { w.kav.Spec.PullRequest.Images[0].Name = "ghcr.io/acme/cart" }, "in no container"},
		"NotNamed":      {"The file has to name it.", func(w *world) { w.kav.Spec.PullRequest.Images[0].File = "apps/base/deployment.yaml" }, "names no image"},
		"OwnFile":       {"It would deliver itself again.", func(w *world) { w.kav.Spec.PullRequest.Images[0].File = "apps/staging/checkout/kustomization.yaml" }, "promoted from"},
		"OwnBase": {"So would what it is rendered from.", func(w *world) {
			w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{{From: "apps/staging/checkout/config.env", To: "apps/base/kustomization.yaml"}}
		}, "promoted from"},
		"OwnLifecycle": {"And what asks for it.", func(w *world) {
			w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{{From: "apps/staging/checkout/config.env", To: "apps/staging/checkout/lifecycle.yaml"}}
		}, "promoted from"},
		"OwnFileByAnotherName": {"Also where the address is written in another way.", func(w *world) {
			w.kav.Spec.PullRequest.Repository = strings.TrimSuffix(w.repo.URL, ".git") + "/"
			w.kav.Spec.PullRequest.Images[0].File = "apps/staging/checkout/kustomization.yaml"
		}, "promoted from"},
		"CopiedTwice": {"One of them would be lost.", func(w *world) {
			w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{{From: "apps/base/deployment.yaml", To: "a"}, {From: "apps/staging/checkout/config.env", To: "a"}}
		}, "more than one file"},
		"CopyOfNothing": {"There has to be something.", func(w *world) {
			w.kav.Spec.PullRequest.Copy = []gitopsv1alpha1.PromotedFile{{From: "none", To: "a"}}
		}, "none"},
		"NoRender": {"What was delivered has to be known.", func(w *world) {
			w.kav.Spec.Commit.SHA = w.repo.Commit("main", "Broken", map[string]string{"apps/base/kustomization.yaml": "resources: [none.yaml]\n"})
		}, "none.yaml"},
		"Rejected": {"A protected branch stays so.", func(w *world) { w.refusePushes(t) }, "branch rejected"},
		"Gone":     {"There is nobody to do it for.", func(w *world) { w.kav.Spec.Lifecycle.Name = "gone" }, "is gone"},
		"NoSource": {"As above.", func(w *world) { w.lc.Labels = nil }, "no GitSource"},
		"NotAsked": {"Nothing is asked for.", func(w *world) { w.kav.Spec.PullRequest = nil }, "no pull request"},
		"Short":    {"An abbreviated commit could be two.", func(w *world) { w.kav.Spec.Commit.SHA = w.kav.Spec.Commit.SHA[:7] }, "full name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.change(w)
			result, err := w.promoter(t).Promote(t.Context(), w.kav)
			var permanent *promotion.PermanentError
			if !errors.As(err, &permanent) || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s\n%+v, %v; want a PermanentError that says %q", tc.reason, result, err, tc.says)
			}
			for _, secret := range []string{token, password} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("a secret is shown: %v", err)
				}
			}
			if len(w.gitea.pulls) > 0 {
				t.Errorf("a pull request was opened: %v", w.gitea.pulls)
			}
		})
	}
}

func TestWhatMayMendItselfIsNotForGood(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		change func(*world)
	}{
		"GitDown":   {"It comes back.", func(w *world) { w.git.Fail(http.StatusBadGateway) }},
		"ForgeDown": {"As above.", func(w *world) { w.gitea.fault = answer(http.StatusServiceUnavailable, "") }},
		"Cut": {"As above.", func(w *world) {
			w.gitea.fault = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}},
		"Limited": {"It says when.", func(w *world) { w.gitea.fault = answer(http.StatusTooManyRequests, "7") }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.change(w)
			p := w.promoter(t)
			_, err := p.Promote(t.Context(), w.kav)
			var permanent *promotion.PermanentError
			if err == nil || errors.As(err, &permanent) {
				t.Fatalf("%s\n%v is for good", tc.reason, err)
			}
			var limited *forge.RateLimitedError
			if errors.As(err, &limited) != (name == "Limited") || limited != nil && limited.RetryAfter != 7*time.Second {
				t.Errorf("%s\n%v", tc.reason, err)
			}
			w.git.Fail(0)
			w.gitea.mu.Lock()
			w.gitea.fault = nil
			w.gitea.mu.Unlock()
			if limited != nil {
				if _, err := p.Promote(t.Context(), w.kav); !errors.As(err, &limited) {
					t.Errorf("the forge is asked in the pause: %v", err)
				}
				p = w.promoter(t) // of a process that knows of no pause
			}
			if result, err := p.Promote(t.Context(), w.kav); err != nil || result.URL == "" {
				t.Errorf("once it is up again: %+v, %v", result, err)
			}
		})
	}
}

func TestAPromotionThatIsGivenUpEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.gitea.fault = func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}
	_, err := w.promoter(t).Promote(ctx, w.kav)
	var permanent *promotion.PermanentError
	if !errors.Is(err, context.Canceled) || errors.As(err, &permanent) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// answer answers with an HTTP status, and when to come back.
func answer(code int, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		http.Error(w, `{"message":"told to"}`, code)
	}
}
