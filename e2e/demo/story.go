package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

const (
	// folder is where the app is committed.
	folder    = "apps/checkout"
	namespace = "shop"
	// patience is how long a commit is given to show what it should.
	patience = 3 * time.Minute
)

// chapter is one commit: what it changes, and what it should show in the end.
type chapter struct {
	message string
	// change makes the commit's files of those of the commit before.
	change func(stage.App) (stage.App, error)
	// deployed says whether the commit is applied to the cluster.
	deployed bool
	// ends are the states that the commit's contexts end in.
	ends map[string]string
}

const (
	validate       = "keptn/production/validate"
	deployment     = "keptn/production/checkout/deployment"
	postDeployment = "keptn/production/checkout/post-deployment"
)

// chapters are the story.
func chapters() []chapter {
	edit := func(file, old, replacement string) func(stage.App) (stage.App, error) {
		return func(app stage.App) (stage.App, error) { return app.With(folder+"/"+file, old, replacement) }
	}
	good := map[string]string{validate: "success", deployment: "success", postDeployment: "success"}
	return []chapter{
		{"Deliver checkout", func(app stage.App) (stage.App, error) { return app, nil }, true, good},
		{"Answer faster", edit("deployment.yaml", "value: 60ms", "value: 40ms"), true, good},
		{
			"Try another payment gateway", edit("deployment.yaml", "value: \"0\"", "value: \"0.3\""), true,
			map[string]string{validate: "success", deployment: "success", postDeployment: "failure"},
		},
		{
			"Allow fewer errors", edit("lifecycle.yaml", "expression: variables.ratio < 0.01", "expresion: variables.ratio < 0.008"), false,
			map[string]string{validate: "failure"},
		},
		{
			"Go back to the old gateway, mend the policy",
			func(app stage.App) (stage.App, error) {
				app, err := app.With(folder+"/lifecycle.yaml", "expresion:", "expression:")
				if err != nil {
					return nil, err
				}
				return app.With(folder+"/deployment.yaml", "value: \"0.3\"", "value: \"0\"")
			}, true, good,
		},
	}
}

// prepare brings up what the story plays on, and returns how to take it down.
func prepare(ctx context.Context, n *narrator, root string) (down func() error, err error) {
	nothing := func() error { return nil }
	parts := []string{"control-plane", "node", "prometheus", "git"}
	if os.Getenv("FORGE") == "gitea" {
		parts = append(parts, "gitea")
	}
	n.chapter("A cluster, a Git server, and the controller")
	if os.Getenv("KUBECONFIG") == "" {
		bed := stage.NewTestbed(root, "demo", os.Stderr)
		down = func() error { return bed.Down(context.WithoutCancel(ctx)) }
		n.say("bringing up Kubernetes (the first time it is built: up to 15 minutes)")
		if err := bed.Up(ctx, parts...); err != nil {
			return down, err
		}
		n.say("Kubernetes, Prometheus and the Git server are up")
		archives, err := stage.Images(ctx, root, os.Stderr)
		if err != nil {
			return down, err
		}
		if err := bed.Load(ctx, archives...); err != nil {
			return down, err
		}
		n.say("images of the controller and of the app are built and on the node")
	} else {
		down = nothing
		n.say("using the cluster of KUBECONFIG=%s", os.Getenv("KUBECONFIG"))
	}
	if err := stage.Install(ctx, os.Stderr, root, "--allow-plain-http-credentials"); err != nil {
		return down, err
	}
	n.say("the controller runs: kubectl apply -k config/default")
	return down, nil
}

// story is what happens between a repository and a cluster.
type story struct {
	cluster  *stage.Cluster
	repo     *stage.Repo
	statuses stage.Statuses
	source   *gitopsv1alpha1.GitSource
	app      stage.App
	outcomes []outcome
}

// open makes the repository, and the source that watches it.
func open(ctx context.Context, root, work string) (*story, error) {
	s := &story{source: &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"},
		Spec: gitopsv1alpha1.GitSourceSpec{
			Environment: "production",
			Interval:    metav1.Duration{Duration: 30 * time.Second},
		},
	}}
	var err error
	if s.app, err = stage.ExampleApp(root, folder); err != nil {
		return nil, err
	}
	if s.cluster, err = stage.Connect(); err != nil {
		return nil, err
	}
	if err := s.cluster.Namespace(ctx, namespace, os.Getenv("TESTBED_PROMETHEUS_URL")); err != nil {
		return nil, err
	}
	url, err := s.host(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(work, "shop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the working copy: %w", err)
	}
	if s.repo, err = stage.NewRepo(ctx, dir, url); err != nil {
		return nil, err
	}
	if s.statuses == nil {
		s.statuses = stage.FromNotes(s.repo)
	}
	return s, nil
}

// host makes an empty repository on the forge that was asked for, tells the
// source how to reach it, and returns the URL to push to.
func (s *story) host(ctx context.Context) (string, error) {
	if os.Getenv("FORGE") != "gitea" {
		s.source.Spec.URL = os.Getenv("TESTBED_GIT_URL") + "/shop.git"
		return s.source.Spec.URL, stage.InitBare(ctx, filepath.Join(os.Getenv("TESTBED_GIT_ROOT"), "shop.git"))
	}
	gitea := stage.GiteaFromEnvironment()
	url, err := gitea.CreateRepository(ctx, "shop")
	if err != nil {
		return "", err
	}
	s.source.Spec.URL = url
	s.source.Spec.Provider = gitopsv1alpha1.GiteaProvider
	s.source.Spec.SecretRef = &meta.LocalObjectReference{Name: "shop-git"}
	s.source.Spec.Statuses = &gitopsv1alpha1.Statuses{SecretRef: &meta.LocalObjectReference{Name: "shop-forge"}}
	s.statuses = gitea.FromGitea("shop")
	return gitea.WithCredentials(url), errors.Join(
		s.cluster.Secret(ctx, namespace, "shop-git", map[string]string{"username": gitea.User, "password": gitea.Token}),
		s.cluster.Secret(ctx, namespace, "shop-forge", map[string]string{"token": gitea.Token}),
	)
}

// tell plays one chapter: commit, push, apply, and see what the commit is told.
func (s *story) tell(ctx context.Context, n *narrator, c chapter) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.chapter("“" + c.message + "”")
	var err error
	if s.app, err = c.change(s.app); err != nil {
		return err
	}
	sha, err := s.repo.Push(ctx, c.message, s.app)
	if err != nil {
		return err
	}
	pushed := time.Now()
	n.say("git push: %.7s", sha)
	if err := s.watch(ctx, sha); err != nil {
		return err
	}
	if c.deployed {
		if err := stage.Kubectl(ctx, io.Discard, "apply", "-k", filepath.Join(s.repo.Dir, folder)); err != nil {
			return err
		}
		n.say("kubectl apply -k %s", folder)
	} else {
		n.say("not applied: its check is red")
	}
	shown, err := s.follow(ctx, n, sha, c.ends, pushed)
	s.outcomes = append(s.outcomes, outcome{sha: sha, message: c.message, statuses: shown})
	return err
}

// watch has the source look at the repository; the first time it is made.
func (s *story) watch(ctx context.Context, sha string) error {
	if s.source.UID == "" {
		return s.cluster.Create(ctx, s.source)
	}
	return s.cluster.Look(ctx, s.source, sha)
}

// poll is how often a commit is asked what it shows.
const poll = 200 * time.Millisecond

// follow tells each change of what a commit shows, until it shows what it should
// in the end.
func (s *story) follow(ctx context.Context, n *narrator, sha string, ends map[string]string, since time.Time) ([]stage.Status, error) {
	told := map[string]stage.Status{}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		shown, err := s.statuses(ctx, sha)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			if told[name] != shown[name] {
				n.status(shown[name], time.Since(since))
			}
		}
		told = shown
		if ended(shown, ends) {
			return inOrder(shown), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%.7s does not show %v: %w", sha, ends, ctx.Err())
		case <-tick.C:
		}
	}
}

func ended(shown map[string]stage.Status, ends map[string]string) bool {
	for name, state := range ends {
		if shown[name].State != state {
			return false
		}
	}
	return true
}

// inOrder lists statuses in the order in which they come about.
func inOrder(shown map[string]stage.Status) []stage.Status {
	var list []stage.Status
	for _, name := range []string{validate, deployment, postDeployment} {
		if s, ok := shown[name]; ok {
			list = append(list, s)
		}
	}
	return list
}

// end prints all commits with what they show, and how to see it oneself.
func (s *story) end(ctx context.Context, n *narrator) error {
	var deliveries lifecyclev1.KeptnAppVersionList
	if err := s.cluster.List(ctx, &deliveries, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	for i := range s.outcomes {
		s.outcomes[i].leadTime = leadTime(deliveries.Items, s.outcomes[i].sha)
	}
	if os.Getenv("FORGE") == "gitea" {
		n.chapter("What Gitea shows on each commit")
	} else {
		n.chapter("What Git notes say of each commit")
	}
	n.table(s.outcomes)
	if os.Getenv("FORGE") == "gitea" {
		return nil
	}
	return s.showLog(ctx, n)
}

// showLog shows that plain Git reads the verdicts.
func (s *story) showLog(ctx context.Context, n *narrator) error {
	n.chapter("Git alone shows them: git fetch origin refs/notes/keptn:refs/notes/keptn && git log --notes=keptn -1")
	log, err := s.repo.Git(ctx, "log", "--notes=keptn", "-1")
	if err != nil {
		return err
	}
	fmt.Fprintln(n.out, strings.TrimSpace(log))
	return nil
}

func leadTime(deliveries []lifecyclev1.KeptnAppVersion, sha string) string {
	for i := range deliveries {
		kav := &deliveries[i]
		if kav.Spec.Commit != nil && kav.Spec.Commit.SHA == sha && kav.Status.LeadTime != nil {
			return kav.Status.LeadTime.Duration.String()
		}
	}
	return "—"
}
