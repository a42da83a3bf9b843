package repository_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/signature"
	"github.com/keptn/gitops/outbound"
)

// secret is the only one of the namespace shop, of the name keys; its version changes with
// its content.
type secret struct{ version, content string }

// Get implements repository.Getter.
func (s *secret) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if s.version == "" || key.Name != "keys" || key.Namespace != "shop" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	into := obj.(*corev1.Secret)
	into.Namespace, into.Name, into.ResourceVersion = key.Namespace, key.Name, s.version
	into.Data = map[string][]byte{"team": []byte(s.content)}
	return nil
}

// signer is somebody with an SSH key.
type signer struct {
	public string
	sign   func(payload string) string
}

func newSigner(t *testing.T, name string) signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer{
		public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " " + name + "\n",
		sign: func(payload string) string {
			sig, err := sshsig.Sign(strings.NewReader(payload), s, sshsig.HashSHA512, "git")
			if err != nil {
				t.Fatal(err)
			}
			return string(sshsig.Armor(sig))
		},
	}
}

// signedWorld is a repository whose commits have to be signed.
type signedWorld struct {
	t      *testing.T
	server *gittest.Server
	repo   *gittest.Repo
	store  string
	all    *repository.Repositories
	keys   *secret
	ann    signer
}

func newSignedWorld(t *testing.T) *signedWorld {
	t.Helper()
	w := &signedWorld{t: t, server: gittest.New(t), store: t.TempDir(), ann: newSigner(t, "ann")}
	w.repo = w.server.Create(t, "shop")
	w.keys = &secret{"1", w.ann.public}
	store, err := gitsource.NewStore(w.store)
	if err != nil {
		t.Fatal(err)
	}
	w.all = repository.New(w.keys, nil, store, "", outbound.Anywhere())
	return w
}

// commit is a new one of the app, signed by somebody or by nobody.
func (w *signedWorld) commit(by *signer, image string) string {
	w.t.Helper()
	commit := w.repo.Commit("main", image, map[string]string{
		"app/lifecycle.yaml":  "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: app}\n",
		"app/deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: '" + image + "'}]}}}\n",
	})
	if by != nil {
		commit = w.repo.Sign("main", by.sign)
	}
	return commit
}

// open looks at the remote, and returns the origin with what was seen.
func (w *signedWorld) open(spec string) (*gitsource.Repository, repository.Origin) {
	w.t.Helper()
	source := &gitopsv1alpha1.GitSource{}
	source.Namespace, source.Name = "shop", "production"
	if err := yaml.UnmarshalStrict([]byte("{environment: production, url: '"+w.repo.URL+"', "+spec+"}"), &source.Spec); err != nil {
		w.t.Fatal(err)
	}
	o, err := w.all.Origin(w.t.Context(), source)
	if err != nil {
		w.t.Fatal(err)
	}
	repo, err := w.all.Open(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	if o.Observed, err = o.Fetch(w.t.Context(), repo); err != nil {
		w.t.Fatal(err)
	}
	return repo, o
}

// lifecycleOfApp is the copy of the app's Lifecycle.
func lifecycleOfApp() *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{}
	lc.Annotations = map[string]string{gitopsv1alpha1.PathAnnotation: "app", gitopsv1alpha1.FileAnnotation: "app/lifecycle.yaml"}
	return lc
}

const signed = "verify: {mode: HEAD, secretRef: {name: keys}}"

func TestNothingIsReadOfACommitThatIsNotVerified(t *testing.T) {
	w := newSignedWorld(t)
	good := w.commit(&w.ann, "app:1")
	bad := w.commit(nil, "app:2")
	repo, o := w.open(signed)
	ctx := t.Context()
	reads := map[string]func(sha string) error{
		"Head":     func(sha string) error { _, err := w.all.Head(ctx, repo, sha, o); return err },
		"Found":    func(sha string) error { _, err := w.all.Found(ctx, repo, sha, o); return err },
		"Rendered": func(sha string) error { _, err := w.all.Rendered(ctx, repo, o, sha, "app"); return err },
		"Verify":   func(sha string) error { _, err := w.all.Verify(ctx, repo, o, sha); return err },
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			if err := read(good); err != nil {
				t.Errorf("a signed one: %v", err)
			}
			var refused *repository.Unverified
			if err := read(bad); !errors.As(err, &refused) || !errors.Is(err, signature.ErrUnsigned) || repository.Problem(err) != gitopsv1alpha1.InvalidCommitSignatureReason {
				t.Errorf("an unsigned one: %v", err)
			}
		})
	}
	if rendered, err := w.all.Recognized(ctx, repo, o, bad, "app"); err != nil || len(rendered.Workloads) != 1 {
		t.Errorf("it cannot be recognised: %v", err)
	}
}

func TestAnAppIsAsTheNewestCommitHasItThatIsVerified(t *testing.T) {
	w := newSignedWorld(t)
	w.commit(nil, "app:1")
	none, o := w.open(signed)
	tip := w.repo.Git("rev-parse", "main")
	app, err := w.all.App(t.Context(), w.all.Open, o, lifecycleOfApp(), tip)
	if err != nil || app.At != "" || app.Problem != "not signed by a known key: it has no signature" || app.Reason != gitopsv1alpha1.InvalidCommitSignatureReason || len(app.Rendered.Workloads) > 0 {
		t.Fatalf("with none: %+v: %v", app, err)
	}
	if mine, err := app.ChangedBy(t.Context(), tip); !mine || err != nil || none == nil {
		t.Errorf("what it depends on is not known: %v", err)
	}
	good := w.commit(&w.ann, "app:2")
	tip = w.commit(nil, "app:3")
	_, o = w.open(signed)
	app, err = w.all.App(t.Context(), w.all.Open, o, lifecycleOfApp(), tip)
	if err != nil || app.At != good || app.Problem != "" || app.Rendered.Workloads[0].Template.Spec.Containers[0].Image != "app:2" {
		t.Errorf("with one: %+v: %v", app, err)
	}
}

func TestOtherKeysCountAtOnce(t *testing.T) {
	w := newSignedWorld(t)
	bob := newSigner(t, "bob")
	commit := w.commit(&w.ann, "app:1")
	cases := []struct {
		reason string
		keys   secret
		want   string
	}{
		{"She is known.", secret{"1", w.ann.public}, "commit " + commit[:7] + " is signed by ann SHA256:"},
		{"She is no longer.", secret{"2", bob.public}, "not signed by a known key: it is signed by another one: ssh-ed25519 SHA256:"},
		{"She is again.", secret{"3", bob.public + w.ann.public}, "commit " + commit[:7] + " is signed by ann SHA256:"},
		{"Her key was damaged.", secret{"4", w.ann.public[:30]}, `signatures cannot be verified: Secret "keys": key "team": line 1: `},
		{"There are none.", secret{}, `signatures cannot be verified: no Secret "keys" in namespace "shop": create it`},
	}
	for _, tc := range cases {
		*w.keys = tc.keys
		repo, o := w.open(signed)
		got, err := w.all.Verify(t.Context(), repo, o, commit)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s\ngot  %s\nwant %s", tc.reason, got, tc.want)
		}
	}
}

func TestASignatureThatCountsIsVerifiedOnce(t *testing.T) {
	w := newSignedWorld(t)
	commit := w.commit(&w.ann, "app:1")
	repo, o := w.open(signed)
	first, err := w.all.Verify(t.Context(), repo, o, commit)
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(w.store, "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("nothing is stored in %s: %v", w.store, err)
	}
	for _, folder := range folders {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	w.server.Fail(http.StatusServiceUnavailable)
	again, err := w.all.Verify(t.Context(), repo, o, commit)
	if diff := cmp.Diff(first, again); diff != "" || err != nil {
		t.Errorf("%v (-first +again):\n%s", err, diff)
	}
}

func TestASignedTagVouchesForWhatLeadsToIt(t *testing.T) {
	w := newSignedWorld(t)
	first := w.commit(nil, "app:1")
	tagged := w.commit(nil, "app:2")
	w.repo.SignedTag("v1.0.0", tagged, w.ann.sign)
	after := w.commit(nil, "app:3")
	signedAfter := w.commit(&w.ann, "app:4")
	w.repo.SignedTag("v2.0.0", signedAfter, w.ann.sign)
	w.repo.Tag("v3.0.0", tagged, "not signed")
	w.repo.Tag("v4.0.0", tagged, "")
	w.repo.SignedTag("v5.0.0", tagged, newSigner(t, "eve").sign)
	w.repo.Git("update-ref", "refs/tags/v6.0.0", "refs/tags/v1.0.0")
	cases := map[string]struct {
		reason, spec, sha string
		want              string
	}{
		"Tagged":     {"What it is about.", "ref: {tag: v1.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, "tag v1.0.0 is signed by ann SHA256:"},
		"Before":     {"What led to that.", "ref: {semver: 1.x}, verify: {mode: Tag, secretRef: {name: keys}}", first, "tag v1.0.0 is signed by ann SHA256:"},
		"After":      {"But not what came then.", "ref: {name: refs/tags/v1.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", after, "not signed by a known key: the tag refs/tags/v1.0.0 does not lead to it"},
		"Both":       {"Both are signed.", "ref: {tag: v2.0.0}, verify: {mode: TagAndHEAD, secretRef: {name: keys}}", signedAfter, "tag v2.0.0 is signed by ann SHA256:"},
		"TagOnly":    {"One is not.", "ref: {tag: v2.0.0}, verify: {mode: TagAndHEAD, secretRef: {name: keys}}", tagged, "not signed by a known key: it has no signature"},
		"Unsigned":   {"Anybody can make a tag.", "ref: {tag: v3.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, "tag v3.0.0 is not signed by a known key: it has no signature"},
		"Light":      {"It is no object that could be signed.", "ref: {tag: v4.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, "tag v4.0.0 is not signed by a known key: it has no signature: it is no annotated tag"},
		"Unknown":    {"Anybody can sign a tag.", "ref: {tag: v5.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, "tag v5.0.0 is not signed by a known key: it is signed by another one: "},
		"Renamed":    {"Ann has not signed it as version 6.", "ref: {tag: v6.0.0}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, `tag v6.0.0 is not signed by a known key: its signature does not count: the tag "v6.0.0" calls itself "v1.0.0"`},
		"Branch":     {"There is no tag.", "ref: {branch: main}, verify: {mode: Tag, secretRef: {name: keys}}", tagged, "verify.mode Tag asks for a signed tag, and no tag is watched"},
		"BranchFull": {"Nor is there one.", "ref: {name: refs/heads/main, tag: v1.0.0}, verify: {mode: TagAndHEAD, secretRef: {name: keys}}", signedAfter, "verify.mode TagAndHEAD asks for a signed tag"},
		"NotAsked":   {"Nobody has to sign.", "ref: {branch: main}", tagged, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			repo, o := w.open(tc.spec)
			got, err := w.all.Verify(t.Context(), repo, o, tc.sha)
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("%s\ngot  %s\nwant %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestAVerificationIsBorrowedFromFlux(t *testing.T) {
	const lender = "{metadata: {namespace: shop, name: shop}, spec: {url: 'https://git/a', ref: {branch: main}, verify: {mode: %s, secretRef: {name: keys}}}}"
	cases := map[string]struct {
		reason, mode, spec string
		want               gitopsv1alpha1.VerificationMode
	}{
		"HEAD":  {"As it is.", "HEAD", "", "HEAD"},
		"Old":   {"As Flux has it, too.", "head", "", "HEAD"},
		"Tag":   {"Of the tag.", "TagAndHEAD", "", "TagAndHEAD"},
		"Given": {"What the source says goes before.", "HEAD", "verify: {mode: Tag, secretRef: {name: keys}}", "Tag"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			source := &gitopsv1alpha1.GitSource{}
			source.Namespace, source.Name = "shop", "production"
			if err := yaml.UnmarshalStrict([]byte("{environment: production, sourceRef: {kind: GitRepository, name: shop}, "+tc.spec+"}"), &source.Spec); err != nil {
				t.Fatal(err)
			}
			from := lenders{"GitRepository": strings.Replace(lender, "%s", tc.mode, 1)}
			o, err := repository.New(&secret{"1", newSigner(t, "ann").public}, from, nil, "", outbound.Anywhere()).Origin(t.Context(), source)
			if err != nil || o.Verify == nil || o.Verify.Mode != tc.want || o.Verify.Secret != named("keys") {
				t.Errorf("%s\ngot %+v: %v", tc.reason, o.Verify, err)
			}
		})
	}
}
