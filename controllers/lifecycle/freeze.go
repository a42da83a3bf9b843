package lifecycle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/manifest"
)

// maxFrozen is how many bytes of policies and definitions of tasks a record holds at
// most: an object of the API server may have 1.5 MiB in all.
const maxFrozen = 512 << 10

// The metadata that every delivery has, unless its author says otherwise.
const (
	commitMetadata      = "gitCommit"
	repositoryMetadata  = "gitRepository"
	environmentMetadata = "environment"
)

// addChecks freezes what the lifecycle of the commit asks for. All that the
// delivery of a Lifecycle runs is confined.
func (r *Reconciler) addChecks(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion) error {
	app, problem, err := r.appAt(ctx, s, kav.Spec.Commit.SHA)
	var refused *repository.Unverified
	if errors.As(err, &refused) {
		s.refuse(kav, refused)
		err = nil
	}
	if err != nil {
		return err
	}
	kav.Spec.Confinement = &lifecyclev1.Confinement{
		ServiceAccountName: s.source.Spec.ServiceAccountName,
		AllowedSecrets:     slices.Clone(s.source.Spec.AllowedSecrets),
	}
	kav.Spec.Problem = cmp.Or(kav.Spec.Problem, problem)
	if app != nil {
		kav.Spec.Problem = freeze(&kav.Spec, app, s.source.Spec.AllowedSecrets)
	}
	addMetadata(&kav.Spec)
	return nil
}

// appAt returns the app as a commit has it, or why it cannot be used. Both are
// empty where the commit has no lifecycle for it yet: then there are no checks.
func (r *Reconciler) appAt(ctx context.Context, s *scope, sha string) (app *manifest.App, problem string, err error) {
	found, err := r.Repositories.Found(ctx, s.app.Repository, sha, s.origin)
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(found.Apps, func(a manifest.App) bool {
		return a.Path == s.app.Folder && a.File == s.app.File && repository.CopyName(s.source, a.Lifecycle.Name) == s.lc.Name
	})
	if i < 0 {
		return nil, firstError(found.Problems, s.app.File), nil
	}
	if app := &found.Apps[i]; app.Problems.HasErrors() {
		return nil, firstError(app.Problems, ""), nil
	}
	return &found.Apps[i], "", nil
}

// firstError is the first error among the problems; with a file, of that file.
func firstError(problems manifest.Problems, file string) string {
	for _, p := range problems {
		if p.Severity == manifest.Error && (file == "" || p.File == file) {
			return p.String()
		}
	}
	return ""
}

// freeze notes what an app asks for, with the policies and the definitions of tasks
// as they are at its commit, and says why that cannot be done.
func freeze(spec *lifecyclev1.KeptnAppVersionSpec, app *manifest.App, allowedSecrets []string) (problem string) {
	said := app.Lifecycle.Spec.DeepCopy()
	spec.RolloutTimeout, spec.CheckTimeout, spec.BlockDeployment = said.RolloutTimeout, said.CheckTimeout, said.BlockDeployment
	spec.Params, spec.Metadata = said.Params, said.Metadata
	if pre := said.PreDeployment; pre != nil {
		spec.PreDeploymentTasks, spec.PreDeploymentEvaluations = taskNames(pre.Tasks), pre.Policies
	}
	if post := said.PostDeployment; post != nil {
		spec.PostDeploymentTasks, spec.PostDeploymentEvaluations = taskNames(post.Tasks), post.Policies
		spec.Soak = post.Soak
	}
	if promotion := said.Promotion; promotion != nil {
		spec.PromotionTasks, spec.PullRequest = taskNames(promotion.Tasks), promotion.PullRequest
	}
	for i := range app.Policies {
		spec.Policies = append(spec.Policies, lifecyclev1.NamedPolicy{Name: app.Policies[i].Name, Spec: app.Policies[i].Spec.DeepCopy()})
	}
	for i := range app.Definitions {
		definition := &app.Definitions[i]
		spec.TaskDefinitions = append(spec.TaskDefinitions, lifecyclev1.NamedTaskDefinition{
			Name: definition.Name, Labels: definition.Labels, Annotations: definition.Annotations,
			Spec: lifecyclev1.FrozenTaskDefinition{KeptnTaskDefinitionSpec: *definition.Spec.DeepCopy()},
		})
	}
	if size := sizeOfFrozen(spec); size > maxFrozen {
		spec.Policies, spec.TaskDefinitions = nil, nil
		return fmt.Sprintf("%s: its policies and the definitions of its tasks have %d KiB, and %d are the limit: have long scripts fetched (httpRef), or put them into an image", app.File, (size+1023)>>10, maxFrozen>>10)
	}
	if pr := spec.PullRequest; pr != nil && pr.SecretRef != nil && !slices.Contains(allowedSecrets, pr.SecretRef.Name) {
		return fmt.Sprintf("%s: promotion.pullRequest names the Secret %q, which is not among the allowedSecrets of the GitSource", app.File, pr.SecretRef.Name)
	}
	return ""
}

// sizeOfFrozen is how many bytes of JSON the policies and definitions of a record are.
func sizeOfFrozen(spec *lifecyclev1.KeptnAppVersionSpec) int {
	text, err := json.Marshal([]any{spec.Policies, spec.TaskDefinitions})
	if err != nil {
		return maxFrozen + 1 // what cannot be written cannot be kept
	}
	return len(text)
}

func taskNames(tasks []gitopsv1alpha1.Task) []string {
	var names []string
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	return names
}

// addMetadata adds to the author's metadata what every delivery has.
func addMetadata(spec *lifecyclev1.KeptnAppVersionSpec) {
	all := map[string]string{
		commitMetadata:      spec.Commit.SHA,
		repositoryMetadata:  gitname.PublicURL(spec.Commit.Repository),
		environmentMetadata: spec.Environment,
	}
	maps.Copy(all, spec.Metadata)
	spec.Metadata = all
}
