package repository_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/outbound"
)

// lenders are documents by the kind of their objects, each of the name shop in the
// namespace that its metadata says.
type lenders map[string]string

// Get implements repository.Getter.
func (l lenders) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	kind := fmt.Sprintf("%T", obj)
	kind = kind[strings.LastIndex(kind, ".")+1:]
	if kind == "Unstructured" {
		kind = obj.GetObjectKind().GroupVersionKind().Kind
	}
	document, known := l[kind]
	if !known {
		return fmt.Errorf("read: %w", &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: kind}})
	}
	var err error
	if u, raw := obj.(*unstructured.Unstructured); raw {
		err = yaml.Unmarshal([]byte(document), &u.Object)
	} else {
		err = yaml.Unmarshal([]byte(document), obj)
	}
	if err != nil {
		return err
	}
	if key != client.ObjectKeyFromObject(obj) {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
	}
	return nil
}

// origin is that of a GitSource in the namespace shop.
func origin(t *testing.T, spec string, from lenders) (repository.Origin, error) {
	t.Helper()
	source := &gitopsv1alpha1.GitSource{}
	source.Namespace, source.Name = "shop", "production"
	if err := yaml.UnmarshalStrict([]byte("{environment: production, "+spec+"}"), &source.Spec); err != nil {
		t.Fatal(err)
	}
	return repository.New(nil, from, nil, "", outbound.Anywhere()).Origin(t.Context(), source)
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func TestAnOriginIsWhatASourceSays(t *testing.T) {
	cases := map[string]struct {
		reason string
		spec   string
		want   repository.Origin
	}{
		"Least": {"All else has a default.", `url: "https://git/a"`, repository.Origin{
			Source: named("production"), URL: "https://git/a", Refs: []gitsource.Ref{{}}, Provider: "generic",
			Timeout: time.Minute, Environment: "production", ContextPrefix: "keptn/production",
		}},
		"Most": {"All that is said counts.", `url: "https://git/a", ref: {branch: b, tag: t, semver: s, name: m, commit: c}, secretRef: {name: git}, paths: [x], timeout: 2m,
			provider: gitea, statuses: {secretRef: {name: forge}, apiURL: "https://api", contextPrefix: ci, notes: true, deployments: true}, proxySecretRef: {name: proxy}`, repository.Origin{
			Source: named("production"), URL: "https://git/a", Refs: []gitsource.Ref{{Branch: "b", Tag: "t", SemVer: "s", Name: "m", Commit: "c"}},
			Secret: named("git"), Paths: []string{"x"}, Provider: "gitea", APIURL: "https://api", Reporting: named("forge"), Notes: true,
			Proxy: named("proxy"), Timeout: 2 * time.Minute, Deployments: true,
			Environment: "production", ContextPrefix: "ci/production",
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := origin(t, tc.spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

const (
	flux = `sourceRef: {kind: GitRepository, name: shop}`
	argo = `sourceRef: {kind: Application, name: shop}`
	// Those borrow from another namespace.
	fluxAbroad = `sourceRef: {kind: GitRepository, name: shop, namespace: flux-system}`
	argoAbroad = `sourceRef: {kind: Application, name: shop, namespace: argocd}`
)

func gitRepository(namespace, spec string) lenders {
	return lenders{"GitRepository": "{metadata: {namespace: " + namespace + ", name: shop}, spec: {url: 'https://git/a', " + spec + "}}"}
}

func application(spec string) lenders {
	return lenders{"Application": "{metadata: {namespace: shop, name: shop}, spec: {" + spec + "}}"}
}

func TestAnOriginIsBorrowed(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	nowhere := []gitsource.Ref{{Branch: "master"}}
	mainOrTag := []gitsource.Ref{{Branch: "main"}, {Tag: "main"}}
	type borrowed struct {
		URL, Secret string
		Refs        []gitsource.Ref
		Paths       []string
	}
	cases := map[string]struct {
		reason string
		spec   string
		from   lenders
		want   borrowed
	}{
		"FluxAlone":       {"Flux checks out master where nothing is said.", flux, gitRepository("shop", ""), borrowed{"https://git/a", "", nowhere, nil}},
		"FluxEmptyRef":    {"As above.", flux, gitRepository("shop", "ref: {}"), borrowed{"https://git/a", "", nowhere, nil}},
		"FluxRef":         {"All that names a commit counts.", flux, gitRepository("shop", "ref: {branch: b, tag: t, semver: s, name: m, commit: c}"), borrowed{"https://git/a", "", []gitsource.Ref{{Branch: "b", Tag: "t", SemVer: "s", Name: "m", Commit: "c"}}, nil}},
		"FluxSecret":      {"Within the namespace it is lent.", flux, gitRepository("shop", "secretRef: {name: git}"), borrowed{"https://git/a", "git", nowhere, nil}},
		"FluxOwn":         {"What the source says goes before.", flux + ", secretRef: {name: mine}, ref: {tag: v1}, paths: [p]", gitRepository("shop", "secretRef: {name: git}, ref: {branch: b}"), borrowed{"https://git/a", "mine", []gitsource.Ref{{Tag: "v1"}}, []string{"p"}}},
		"FluxAbroad":      {"Only with the lender's consent.", fluxAbroad, lenders{"GitRepository": `{metadata: {namespace: flux-system, name: shop, annotations: {gitops.keptn.sh/allow-from: "cart, shop"}}, spec: {url: "ssh://git@git/a"}}`}, borrowed{"ssh://git@git/a", "", nowhere, nil}},
		"FluxAbroadOwn":   {"The source brings a Secret of its own.", fluxAbroad + ", secretRef: {name: mine}", lenders{"GitRepository": `{metadata: {namespace: flux-system, name: shop, annotations: {gitops.keptn.sh/allow-from: shop}}, spec: {url: "https://git/a", secretRef: {name: git}}}`}, borrowed{"https://git/a", "mine", nowhere, nil}},
		"FluxApp":         {"The keys of a GitHub App are in a Secret.", flux, gitRepository("shop", "provider: github, secretRef: {name: git}"), borrowed{"https://git/a", "git", nowhere, nil}},
		"FluxProxyOwn":    {"The source brings a proxy of its own.", fluxAbroad + ", proxySecretRef: {name: mine}", lenders{"GitRepository": `{metadata: {namespace: flux-system, name: shop, annotations: {gitops.keptn.sh/allow-from: shop}}, spec: {url: "https://git/a", proxySecretRef: {name: proxy}}}`}, borrowed{"https://git/a", "", nowhere, nil}},
		"FluxProviderOwn": {"With a Secret of its own the provider does not matter.", flux + ", secretRef: {name: mine}", gitRepository("shop", "provider: azure"), borrowed{"https://git/a", "mine", nowhere, nil}},

		"ArgoBranch":    {"A name may be that of a branch or of a tag.", argo, application("source: {repoURL: 'https://git/a', path: apps/shop/, targetRevision: main}"), borrowed{"https://git/a", "", mainOrTag, []string{"apps/shop"}}},
		"ArgoHead":      {"HEAD is the remote's.", argo, application("source: {repoURL: 'https://git/a', path: ., targetRevision: HEAD}"), borrowed{"https://git/a", "", []gitsource.Ref{{}}, nil}},
		"ArgoNothing":   {"So it is where nothing is said.", argo, application("source: {repoURL: 'https://git/a', path: x}"), borrowed{"https://git/a", "", []gitsource.Ref{{}}, []string{"x"}}},
		"ArgoCommit":    {"A commit is none but itself.", argo, application("source: {repoURL: 'https://git/a', path: x, targetRevision: " + strings.ToUpper(sha) + "}"), borrowed{"https://git/a", "", []gitsource.Ref{{Commit: sha}}, []string{"x"}}},
		"ArgoFullName":  {"A full name too.", argo, application("source: {repoURL: 'https://git/a', path: x, targetRevision: refs/pull/1/head}"), borrowed{"https://git/a", "", []gitsource.Ref{{Name: "refs/pull/1/head"}}, []string{"x"}}},
		"ArgoVersion":   {"A version is no range.", argo, application("source: {repoURL: 'https://git/a', path: x, targetRevision: v1.2.3, tagPrefix: shop/}"), borrowed{"https://git/a", "", []gitsource.Ref{{Branch: "shop/v1.2.3"}, {Tag: "shop/v1.2.3"}}, []string{"x"}}},
		"ArgoRange":     {"A range of tags goes before a branch of its name.", argo, application("source: {repoURL: 'https://git/a', path: x, targetRevision: 1.*}"), borrowed{"https://git/a", "", []gitsource.Ref{{SemVer: "1.*"}, {Branch: "1.*"}, {Tag: "1.*"}}, []string{"x"}}},
		"ArgoOwn":       {"What the source says goes before.", argo + ", ref: {branch: b}, paths: [p], secretRef: {name: mine}", application("source: {repoURL: 'https://git/a', path: x, targetRevision: 1.*, tagPrefix: shop/}"), borrowed{"https://git/a", "mine", []gitsource.Ref{{Branch: "b"}}, []string{"p"}}},
		"ArgoScp":       {"Git's short form is a URL.", argo, application("source: {repoURL: 'git@git:acme/a.git', path: x, targetRevision: main}"), borrowed{"git@git:acme/a.git", "", mainOrTag, []string{"x"}}},
		"ArgoHydrated":  {"What authors write is followed, not what is made of it.", argo, application("sourceHydrator: {drySource: {repoURL: 'https://git/a', path: dry, targetRevision: main}, syncSource: {targetBranch: env/prod, path: wet}}"), borrowed{"https://git/a", "", mainOrTag, []string{"dry"}}},
		"ArgoValues":    {"A chart is not in Git, its values are.", argo, application("sources: [{repoURL: 'https://charts', chart: c, targetRevision: 1.0.0}, {repoURL: 'oci://registry/x', path: ., targetRevision: v1}, {repoURL: 'https://git/a', targetRevision: main, ref: values}]"), borrowed{"https://git/a", "", mainOrTag, nil}},
		"ArgoFolders":   {"Several folders of one repository are one source.", argo, application("sources: [{repoURL: 'https://git/a', targetRevision: main, path: x}, {repoURL: 'https://git/a/', targetRevision: main, path: z}, {repoURL: 'https://git/a', targetRevision: main, ref: v}]"), borrowed{"https://git/a", "", mainOrTag, []string{"x", "z"}}},
		"ArgoByName":    {"The source that is named.", `sourceRef: {kind: Application, name: shop, sourceName: b}`, application("sources: [{repoURL: 'https://git/x', path: x, name: a}, {repoURL: 'https://git/a', path: z, name: b, targetRevision: main}]"), borrowed{"https://git/a", "", mainOrTag, []string{"z"}}},
		"ArgoByRef":     {"A ref is a name too.", `sourceRef: {kind: Application, name: shop, sourceName: values}`, application("sources: [{repoURL: 'https://git/x', path: x}, {repoURL: 'https://git/a', ref: values, targetRevision: main}]"), borrowed{"https://git/a", "", mainOrTag, nil}},
		"ArgoAtPlace":   {"The first has the position 1.", `sourceRef: {kind: Application, name: shop, sourcePosition: 2}`, application("sources: [{repoURL: 'https://git/x', path: x}, {repoURL: 'https://git/a', path: z, targetRevision: main}]"), borrowed{"https://git/a", "", mainOrTag, []string{"z"}}},
		"ArgoBothGiven": {"Where there are sources, Argo CD does not look at source.", argo, application("source: {repoURL: 'https://git/x', path: x}, sources: [{repoURL: 'https://git/a', path: z, targetRevision: main}]"), borrowed{"https://git/a", "", mainOrTag, []string{"z"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := origin(t, tc.spec, tc.from)
			if err != nil {
				t.Fatalf("%s\n%v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, borrowed{got.URL, got.Secret.Name, got.Refs, got.Paths}); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if got.Secret.Name != "" && got.Secret.Namespace != "shop" {
				t.Errorf("the Secret is in namespace %q", got.Secret.Namespace)
			}
		})
	}
}

func TestAProxyIsBorrowedWithinTheNamespace(t *testing.T) {
	cases := map[string]struct{ reason, spec, want string }{
		"Lent": {"Flux goes through it.", flux, "proxy"},
		"Own":  {"What the source says goes before.", flux + ", proxySecretRef: {name: mine}", "mine"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := origin(t, tc.spec, gitRepository("shop", "proxySecretRef: {name: proxy}"))
			if err != nil || got.Proxy != named(tc.want) {
				t.Errorf("%s\ngot %s, %v", tc.reason, got.Proxy, err)
			}
		})
	}
}

func TestWhatCannotBeBorrowedIsExplained(t *testing.T) {
	agreeing := func(spec string) lenders {
		return lenders{"GitRepository": "{metadata: {namespace: flux-system, name: shop, annotations: {gitops.keptn.sh/allow-from: shop}}, spec: {url: 'https://git/a', " + spec + "}}"}
	}
	cases := map[string]struct {
		reason string
		spec   string
		from   lenders
		want   string
		says   string
	}{
		"NoKind":        {"Flux is not installed.", flux, nil, gitopsv1alpha1.SourceNotFoundReason, "the cluster has no kind GitRepository"},
		"NoArgo":        {"Nor is Argo CD.", argo, nil, gitopsv1alpha1.SourceNotFoundReason, "the cluster has no kind Application"},
		"NoObject":      {"It is in another namespace.", flux, gitRepository("cart", ""), gitopsv1alpha1.SourceNotFoundReason, `no GitRepository "shop" in namespace "shop"`},
		"NoConsent":     {"What is abroad has to agree.", fluxAbroad, gitRepository("flux-system", ""), gitopsv1alpha1.AccessDeniedReason, "annotate it with gitops.keptn.sh/allow-from: shop"},
		"OthersConsent": {"It agrees to others.", argoAbroad, lenders{"Application": `{metadata: {namespace: argocd, name: shop, annotations: {gitops.keptn.sh/allow-from: "shopping, workshop"}}, spec: {source: {repoURL: "https://git/a"}}}`}, gitopsv1alpha1.AccessDeniedReason, "Application argocd/shop does not agree"},
		"SecretAbroad":  {"A Secret does not leave its namespace.", fluxAbroad, agreeing("secretRef: {name: git}"), gitopsv1alpha1.AuthenticationFailedReason, "is not lent to another namespace"},
		"ProxyAbroad":   {"Nor does a proxy's.", fluxAbroad, agreeing("proxySecretRef: {name: proxy}"), gitopsv1alpha1.AuthenticationFailedReason, "in spec.proxySecretRef"},
		"KeysAbroad":    {"What is asked for there must not be passed over here.", fluxAbroad, agreeing("verify: {mode: HEAD, secretRef: {name: keys}}"), gitopsv1alpha1.AuthenticationFailedReason, "give spec.verify with one of this namespace"},
		"Provider":      {"What a cloud's identity reads cannot be lent.", flux, gitRepository("shop", "provider: azure"), gitopsv1alpha1.AuthenticationFailedReason, `"azure" cannot be lent`},
		"Password":      {"A password in a URL would get about.", argo, application("source: {repoURL: 'https://me:hunter2@git/a', path: x}"), "InvalidURL", "must not hold credentials"},
		"NoURL":         {"A path would be on the controller's own disk.", argo, application("source: {repoURL: /etc, path: x}"), "InvalidURL", "it has to be https://"},
		"NoSource":      {"There is nothing to be lent.", argo, application("project: default"), gitopsv1alpha1.InvalidSourceReason, "it has no source"},
		"Chart":         {"A chart is not in Git.", argo, application("source: {repoURL: 'https://charts', chart: c}"), gitopsv1alpha1.InvalidSourceReason, "not a Git repository"},
		"NoGit":         {"Nor are charts.", argo, application("sources: [{repoURL: 'https://charts', chart: c}]"), gitopsv1alpha1.InvalidSourceReason, "none of its 1 sources is a Git repository"},
		"Several":       {"Nobody guesses which is meant.", argo, application("sources: [{repoURL: 'https://git/a', path: x}, {repoURL: 'https://git/b', path: x}]"), gitopsv1alpha1.InvalidSourceReason, "as https://git/a@HEAD and https://git/b@HEAD: name one"},
		"Revisions":     {"Two revisions are two.", argo, application("sources: [{repoURL: 'https://git/a', path: x}, {repoURL: 'https://git/a', path: z, targetRevision: main}]"), gitopsv1alpha1.InvalidSourceReason, "as https://git/a@HEAD and https://git/a@main: name one"},
		"NoSuchName":    {"A name has to be one.", `sourceRef: {kind: Application, name: shop, sourceName: c}`, application("sources: [{repoURL: 'https://git/a', path: x, name: a}]"), gitopsv1alpha1.InvalidSourceReason, `none of its 1 sources has the name or ref "c"`},
		"NoSuchPlace":   {"A position has to be one.", `sourceRef: {kind: Application, name: shop, sourcePosition: 2}`, application("sources: [{repoURL: 'https://git/a', path: x, name: a}]"), gitopsv1alpha1.InvalidSourceReason, "it has 1 sources, and sourcePosition is 2"},
		"PrefixedRange": {"Git's side knows no ranges with a prefix.", argo, application("source: {repoURL: 'https://git/a', path: x, targetRevision: 1.*, tagPrefix: shop/}"), gitopsv1alpha1.InvalidSourceReason, "give spec.ref"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := origin(t, tc.spec, tc.from)
			if err == nil {
				t.Fatalf("%s\ngot %+v", tc.reason, got)
			}
			if reason := repository.Problem(err); reason != tc.want || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s\ngot %s: %v", tc.reason, reason, err)
			}
		})
	}
}

func TestAnErrorOfTheClusterIsNoProblemOfTheSource(t *testing.T) {
	if got := repository.Problem(errors.New("connection refused")); got != "" {
		t.Errorf("got %q", got)
	}
	if got := repository.Problem(nil); got != "" {
		t.Errorf("nothing is a problem: %q", got)
	}
}
