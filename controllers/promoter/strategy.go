package promoter

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// The kinds of gitops-promoter that are read and written
// (https://gitops-promoter.readthedocs.io/en/stable/crd-specs/).
const (
	group          = "promoter.argoproj.io"
	version        = "v1alpha1"
	strategyKind   = "PromotionStrategy"
	repositoryKind = "GitRepository"
	statusKind     = "CommitStatus"
)

func newObject(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	return u
}

func newList(kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind + "List"})
	return list
}

func convert(from *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into); err != nil {
		return fmt.Errorf("read %s %s/%s: %w", from.GetKind(), from.GetNamespace(), from.GetName(), err)
	}
	return nil
}

// question is what a PromotionStrategy may ask: what runs of the commits of a branch.
type question struct {
	branch, key string
	// url of the repository, without user and password.
	url string
}

// keyOf is the key by which a PromotionStrategy asks about an app:
// <contextPrefix>-<app>, which is keptn-<app> unless the source says otherwise.
func keyOf(source *gitopsv1alpha1.GitSource, lc *gitopsv1alpha1.Lifecycle) string {
	prefix := "keptn"
	if s := source.Spec.Statuses; s != nil {
		prefix = cmp.Or(s.ContextPrefix, prefix)
	}
	return prefix + "-" + lc.Spec.App
}

type (
	// strategy is what is read of a PromotionStrategy.
	strategy struct {
		metav1.ObjectMeta `json:"metadata"`

		Spec struct {
			GitRepositoryRef struct {
				Name string `json:"name"`
			} `json:"gitRepositoryRef"`
			ActiveCommitStatuses []selector    `json:"activeCommitStatuses"`
			Environments         []environment `json:"environments"`
		} `json:"spec"`
	}
	environment struct {
		Branch               string     `json:"branch"`
		ActiveCommitStatuses []selector `json:"activeCommitStatuses"`
	}
	selector struct {
		Key string `json:"key"`
	}
)

// asks says whether the strategy waits for the key on the branch, as one of its
// environments. The branches that changes are proposed on, where nothing runs, are none.
func (s *strategy) asks(q question) bool {
	waits := func(selector selector) bool { return safeLabel(selector.Key) == safeLabel(q.key) }
	i := slices.IndexFunc(s.Spec.Environments, func(e environment) bool { return e.Branch == q.branch })
	return i >= 0 && (slices.ContainsFunc(s.Spec.ActiveCommitStatuses, waits) || slices.ContainsFunc(s.Spec.Environments[i].ActiveCommitStatuses, waits))
}

// gitRepository is what is read of a GitRepository: its spec has one field for each kind
// of server, of which one is there.
type gitRepository struct {
	Spec map[string]any `json:"spec"`
}

// isAt says whether it is the repository of a URL, by its owner and name. The server is
// left to the ScmProvider: of two with the same names in one namespace, the commits
// differ.
func (g gitRepository) isAt(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	at := strings.TrimSuffix(strings.ReplaceAll(u.Path, "/_git/", "/"), ".git")
	for _, server := range g.Spec {
		fields, _ := server.(map[string]any)
		text := func(field string) string { s, _ := fields[field].(string); return s }
		owner, name := cmp.Or(text("owner"), text("namespace"), text("project")), text("name")
		path := "/" + owner + "/" + name
		if owner != "" && name != "" && len(at) >= len(path) && strings.EqualFold(at[len(at)-len(path):], path) {
			return true
		}
	}
	return false
}

// maxLabel is the longest value of a label.
const maxLabel = 63

var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// safeLabel is a text as gitops-promoter has it as the value of a label, for the key to be
// found and the branch to be told: dashes for what is neither letter nor digit, and of
// what is too long the end
// (https://gitops-promoter.readthedocs.io/en/stable/debugging/labels/).
func safeLabel(text string) string {
	text = notInLabels.ReplaceAllString(text, "-")
	return strings.Trim(text[max(0, len(text)-maxLabel):], "-")
}
