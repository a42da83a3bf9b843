package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Folder is where a project's app is in its repository.
const Folder = "apps/checkout"

// The contexts of a project's commits.
const (
	Validate       = "keptn/production/validate"
	PreDeployment  = "keptn/production/checkout/pre-deployment"
	Deployment     = "keptn/production/checkout/deployment"
	PostDeployment = "keptn/production/checkout/post-deployment"
	Promotion      = "keptn/production/checkout/promotion"
)

// Project is a team's work: a repository with the example app, the namespace it
// is deployed to, and the GitSource that watches it.
type Project struct {
	Cluster *Cluster
	Repo    *Repo
	Source  *gitopsv1alpha1.GitSource
	// App are the files that were pushed last.
	App App
	// History reads what commits were told.
	History History
}

// Statuses are what a commit shows, by context.
func (p *Project) Statuses(ctx context.Context, commit string) (map[string]Status, error) {
	history, err := p.History(ctx, commit)
	return newest(history), err
}

// NewProject makes the namespace, an empty repository of the same name on Gitea
// or on the plain Git server, and a working copy of it below work. The source is
// made with the first push.
func NewProject(ctx context.Context, c *Cluster, root, work, name string, onGitea bool) (*Project, error) {
	p := &Project{Cluster: c, Source: &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: name},
		Spec: gitopsv1alpha1.GitSourceSpec{
			Environment: "production",
			Interval:    metav1.Duration{Duration: 30 * time.Second},
		},
	}}
	app, err := ExampleApp(root, Folder)
	if err != nil {
		return nil, err
	}
	if p.App, err = app.With(Folder+"/kustomization.yaml", "namespace: shop", "namespace: "+name); err != nil {
		return nil, err
	}
	if err := c.Namespace(ctx, name, os.Getenv("TESTBED_PROMETHEUS_URL"), nil); err != nil {
		return nil, err
	}
	url, err := p.host(ctx, name, onGitea)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(work, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the working copy: %w", err)
	}
	if p.Repo, err = NewRepo(ctx, dir, url); err != nil {
		return nil, err
	}
	if p.History == nil {
		p.History = FromNotes(p.Repo)
	}
	return p, nil
}

// host makes the repository, tells the source how to reach it, and returns the
// URL to push to.
func (p *Project) host(ctx context.Context, name string, onGitea bool) (string, error) {
	if !onGitea {
		p.Source.Spec.URL = os.Getenv("TESTBED_GIT_URL") + "/" + name + ".git"
		return p.Source.Spec.URL, InitBare(ctx, filepath.Join(os.Getenv("TESTBED_GIT_ROOT"), name+".git"))
	}
	gitea := GiteaFromEnvironment()
	url, err := gitea.CreateRepository(ctx, name)
	if err != nil {
		return "", err
	}
	p.Source.Spec.URL = url
	p.Source.Spec.Provider = gitopsv1alpha1.GiteaProvider
	p.Source.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
	p.Source.Spec.Statuses = &gitopsv1alpha1.Statuses{SecretRef: &meta.LocalObjectReference{Name: "forge"}}
	p.History = gitea.FromGitea(name)
	return gitea.WithCredentials(url), errors.Join(
		p.Cluster.Secret(ctx, name, "git", map[string]string{"username": gitea.User, "password": gitea.Token}),
		p.Cluster.Secret(ctx, name, "forge", map[string]string{"token": gitea.Token}),
	)
}

// Change makes a commit's files of those of the commit before.
type Change func(App) (App, error)

// Edit replaces a text in one of the app's files.
func Edit(file, old, replacement string) Change {
	return func(app App) (App, error) { return app.With(Folder+"/"+file, old, replacement) }
}

// Add adds a file to the repository, or replaces the one that has its name.
func Add(file, content string) Change {
	return func(app App) (App, error) {
		changed := maps.Clone(app)
		changed[file] = content
		return changed, nil
	}
}

// Commit commits the changes and pushes them. Nobody is told.
func (p *Project) Commit(ctx context.Context, message string, changes ...Change) (string, error) {
	for _, change := range changes {
		app, err := change(p.App)
		if err != nil {
			return "", err
		}
		p.App = app
	}
	return p.Repo.Push(ctx, message, p.App)
}

// Push commits the changes, pushes them, and has the source look at them at
// once, as the webhook of a forge would.
func (p *Project) Push(ctx context.Context, message string, changes ...Change) (string, error) {
	sha, err := p.Commit(ctx, message, changes...)
	if err != nil {
		return "", err
	}
	if p.Source.UID == "" {
		return sha, p.Cluster.Create(ctx, p.Source)
	}
	return sha, p.Cluster.Look(ctx, p.Source, sha)
}

// Apply deploys what the working copy holds.
func (p *Project) Apply(ctx context.Context) error {
	return Kubectl(ctx, io.Discard, "apply", "-k", filepath.Join(p.Repo.Dir, Folder))
}

// Delivery returns the record of the newest delivery of a commit, or nil.
func (p *Project) Delivery(ctx context.Context, sha string) (*lifecyclev1.KeptnAppVersion, error) {
	var list lifecyclev1.KeptnAppVersionList
	if err := p.Cluster.List(ctx, &list, client.InNamespace(p.Source.Namespace)); err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	var newest *lifecyclev1.KeptnAppVersion
	for i := range list.Items {
		kav := &list.Items[i]
		if kav.Spec.Commit != nil && kav.Spec.Commit.SHA == sha && (newest == nil || kav.Spec.Revision > newest.Spec.Revision) {
			newest = kav
		}
	}
	return newest, nil
}
