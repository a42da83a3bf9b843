package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/directory"
)

// cluster has the app checkout in one environment, cart in two, a Lifecycle that no
// GitSource reads, and one whose GitSource is gone.
func cluster(t *testing.T) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for name, environment := range map[string]string{"prod": "production", "stage": "staging"} {
		gs := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		gs.Spec.Environment = environment
		builder.WithObjects(gs)
	}
	for _, name := range []string{"prod/checkout", "prod/cart", "stage/cart", "/checkout", "gone/orphan"} {
		source, app, _ := strings.Cut(name, "/")
		lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: source + "-" + app}}
		if source != "" {
			lc.Labels = map[string]string{gitopsv1alpha1.SourceLabel: source}
		}
		lc.Spec.App = app
		builder.WithObjects(lc)
	}
	return builder.Build()
}

func TestALifecycleIsFoundByWhatOthersCallIt(t *testing.T) {
	failed := errors.New("down")
	failing := func(funcs interceptor.Funcs) client.Reader { return interceptor.NewClient(cluster(t), funcs) }
	cases := map[string]struct {
		reason            string
		reader            client.Reader
		name              directory.Name
		want, environment string
		err               error
	}{
		"Only":        {"Where there is one it is meant.", nil, directory.Name{Namespace: "shop", App: "checkout"}, "prod-checkout", "production", nil},
		"Named":       {"Environments tell apart.", nil, directory.Name{Namespace: "shop", App: "cart", Environment: "staging"}, "stage-cart", "staging", nil},
		"Orphan":      {"Its GitSource goes, and it with it.", nil, directory.Name{Namespace: "shop", App: "orphan"}, "gone-orphan", "", nil},
		"Several":     {"It is not guessed.", nil, directory.Name{Namespace: "shop", App: "cart"}, "", "", directory.ErrAmbiguous},
		"Environment": {"It is in no such environment.", nil, directory.Name{Namespace: "shop", App: "cart", Environment: "test"}, "", "", directory.ErrNotFound},
		"App":         {"There is no such app.", nil, directory.Name{Namespace: "shop", App: "web"}, "", "", directory.ErrNotFound},
		"Namespace":   {"It is not there.", nil, directory.Name{Namespace: "web", App: "cart"}, "", "", directory.ErrNotFound},
		"Everywhere":  {"No namespace is not every namespace.", nil, directory.Name{App: "checkout"}, "", "", directory.ErrNotFound},
		"List": {"It cannot be looked for.", failing(interceptor.Funcs{
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return failed },
		}), directory.Name{Namespace: "shop", App: "cart"}, "", "", failed},
		"Get": {"Its environment cannot be read.", failing(interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return failed
			},
		}), directory.Name{Namespace: "shop", App: "cart"}, "", "", failed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader := tc.reader
			if reader == nil {
				reader = cluster(t)
			}
			got, err := directory.Find(t.Context(), reader, tc.name)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("%s\ngot %v", tc.reason, err)
			}
			if err == nil && (got.Name != tc.want || got.Environment != tc.environment) {
				t.Errorf("%s\ngot %s in %q", tc.reason, got.Name, got.Environment)
			}
		})
	}
}
