package image_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/keptn/gitops/gitsource/image"
)

const (
	commit      = "b3b00fe35424a45d373bf4c7214178bc36fd7872"
	otherCommit = "6cb951525937865dced818bbdd78c89b2d2b3045"
	source      = "https://github.com/acme/shop"
)

func says(revision, source string) map[string]string {
	said := map[string]string{}
	if revision != "" {
		said["org.opencontainers.image.revision"] = revision
	}
	if source != "" {
		said["org.opencontainers.image.source"] = source
	}
	return said
}

// server is a registry in this process, which counts what it is asked for.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t *testing.T, wrap func(http.Handler) http.Handler, start func(http.Handler) *httptest.Server) *server {
	t.Helper()
	s := &server{}
	handler := wrap(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func open(h http.Handler) http.Handler { return h }

// all are the requests since the last call.
func (s *server) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// requests are those for manifests and blobs since the last call.
func (s *server) requests() []string {
	return slices.DeleteFunc(s.all(), func(asked string) bool { return strings.HasSuffix(asked, "/v2/") })
}

func (s *server) ref(t *testing.T, of string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(s.URL, "http://") + "/" + of)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// single is an image without layers.
func single(t *testing.T, annotations, labels map[string]string) v1.Image {
	t.Helper()
	img, err := mutate.Config(mutate.MediaType(empty.Image, types.OCIManifestSchema1), v1.Config{Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	return mutate.Annotations(img, annotations).(v1.Image)
}

// indexOf is an index of images, behind an attestation of one of them.
func indexOf(t *testing.T, annotations, descriptor map[string]string, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: single(t, says(otherCommit, "https://example.com/attestation"), nil),
		Descriptor: v1.Descriptor{
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
		},
	})
	for _, img := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Annotations: descriptor, Platform: &v1.Platform{OS: "plan9", Architecture: "mips"},
		}})
	}
	return mutate.Annotations(index, annotations).(v1.ImageIndex)
}

func push(t *testing.T, ref name.Reference, taggable remote.Taggable, opts ...remote.Option) string {
	t.Helper()
	var err error
	var digest v1.Hash
	switch of := taggable.(type) {
	case v1.Image:
		err = remote.Write(ref, of, opts...)
		digest, _ = of.Digest()
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, of, opts...)
		digest, _ = of.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestAnImageNamesItsCommit(t *testing.T) {
	cases := map[string]struct {
		reason string
		image  remote.Taggable
		tag    string
		want   image.Origin
	}{
		"Manifest": {
			reason: "A manifest may be annotated.",
			image:  single(t, says(commit, source), nil),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InManifest},
		},
		"Label": {
			reason: "Most builders set labels; the configuration is of no platform that we run on.",
			image:  single(t, nil, says("main@sha1:"+commit, source)),
			want:   image.Origin{Revision: "main@sha1:" + commit, Commit: commit, Source: source, Place: image.InLabel},
		},
		"Index": {
			reason: "An annotation of the index speaks of all its images.",
			image:  indexOf(t, says(commit, source), nil, single(t, says(otherCommit, ""), nil)),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InIndex},
		},
		"Descriptor": {
			reason: "An index may say it of an image; what it says of an attestation is passed over.",
			image:  indexOf(t, nil, says(commit, source), single(t, nil, nil)),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InIndex},
		},
		"ManifestOfIndex": {
			reason: "An index without annotations is followed to an image, whatever its platform.",
			image:  indexOf(t, nil, nil, single(t, says("6.1.8/"+commit, source), nil)),
			want:   image.Origin{Revision: "6.1.8/" + commit, Commit: commit, Source: source, Place: image.InManifest},
		},
		"LabelOfIndex": {
			reason: "And to its labels.",
			image:  indexOf(t, nil, nil, single(t, nil, says(commit[:7], source))),
			want:   image.Origin{Revision: commit[:7], Commit: commit[:7], Source: source, Place: image.InLabel},
		},
		"Annotated": {
			reason: "An annotation is of this image; a label may be the base image's.",
			image:  single(t, says(commit, source), says(otherCommit, "https://github.com/base/image")),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InManifest},
		},
		"SourceElsewhere": {
			reason: "A source is looked for where the commit was not.",
			image:  single(t, says(commit, ""), says("", "https://robot:token@github.com/acme/shop")),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InManifest},
		},
		"SourceOfThatCommit": {
			reason: "Where a place names both they belong together.",
			image:  indexOf(t, says("", "https://example.com/index"), nil, single(t, says(commit, source), nil)),
			want:   image.Origin{Revision: commit, Commit: commit, Source: source, Place: image.InManifest},
		},
		"Tag": {
			reason: "A tag counts where the image says nothing of a commit.",
			image:  single(t, nil, says("v1.2.3", source)),
			tag:    "sha-" + commit[:8],
			want:   image.Origin{Revision: "sha-" + commit[:8], Commit: commit[:8], Source: source, Place: image.InTag},
		},
		"NotTheTag": {
			reason: "What the image says counts before its tag.",
			image:  single(t, says(commit, ""), nil),
			tag:    "sha-" + otherCommit,
			want:   image.Origin{Revision: commit, Commit: commit, Place: image.InManifest},
		},
	}
	s := serve(t, open, httptest.NewServer)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.tag == "" {
				tc.tag = "1.2.3"
			}
			ref := s.ref(t, strings.ToLower(name)+":"+tc.tag)
			digest := push(t, ref, tc.image)
			tc.want.Digest = digest
			for _, asked := range []string{ref.String(), ref.String() + "@" + digest, "docker-pullable://" + ref.String() + "@" + digest} {
				got, err := image.New().Origin(t.Context(), asked, nil)
				if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
					t.Errorf("%s\n%s: %v\n(-want +got):\n%s", tc.reason, asked, err, diff)
				}
			}
		})
	}
}

func TestWhyAnImageNamesNoCommitIsSaid(t *testing.T) {
	s := serve(t, open, httptest.NewServer)
	host := strings.TrimPrefix(s.URL, "http://")
	push(t, s.ref(t, "silent:1.0"), single(t, nil, nil))
	push(t, s.ref(t, "version:1.0"), single(t, says("v1.0.0", ""), nil))
	push(t, s.ref(t, "empty:1.0"), indexOf(t, nil, nil))
	cases := map[string]struct {
		reason string
		ref    string
		want   error
		says   string
	}{
		"NoReference": {"A reference is in lower case.", host + "/Shop:1.0", image.ErrReference, "Shop"},
		"NoImage":     {"There is no such repository.", host + "/none:1.0", image.ErrNotFound, "none:1.0"},
		"NoTag":       {"There is no such tag.", host + "/silent:2.0", image.ErrNotFound, "silent:2.0"},
		"NoDigest":    {"There is no such manifest.", host + "/silent@sha256:" + strings.Repeat("0", 64), image.ErrNotFound, "silent@sha256"},
		"Silent":      {"It has no annotation and no label.", host + "/silent:1.0", image.ErrNoRevision, "org.opencontainers.image.revision"},
		"Version":     {"A version is no commit; what was found is said.", host + "/version:1.0", image.ErrNoRevision, `"v1.0.0"`},
		"Attestation": {"An index without an image says nothing.", host + "/empty:1.0", image.ErrNoRevision, "empty:1.0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := image.New().Origin(t.Context(), tc.ref, nil)
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s\ngot %v, want %v saying %q", tc.reason, err, tc.want, tc.says)
			}
		})
	}
}

func TestADigestIsAskedForOnce(t *testing.T) {
	s := serve(t, open, httptest.NewServer)
	first := s.ref(t, "shop:1.0")
	digest := push(t, first, single(t, nil, says(commit, source)))
	push(t, s.ref(t, "shop:2.0"), single(t, nil, nil))
	r := image.New(image.WithCacheSize(2))
	ask := func(ref string, want error) []string {
		t.Helper()
		s.requests()
		if _, err := r.Origin(t.Context(), ref, nil); !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", ref, err, want)
		}
		return s.requests()
	}
	if got := ask(first.String(), nil); len(got) != 3 {
		t.Errorf("a new tag takes its digest, its manifest and its configuration; asked %q", got)
	}
	if got := ask(first.String(), nil); len(got) != 1 || !strings.HasPrefix(got[0], "HEAD ") {
		t.Errorf("a tag may move: its digest is asked for, and no more; asked %q", got)
	}
	if got := ask(first.Context().Digest(digest).String(), nil); len(got) != 0 {
		t.Errorf("what a digest names cannot change; asked %q", got)
	}
	ask(s.ref(t, "shop:2.0").String(), image.ErrNoRevision)
	if got := ask(s.ref(t, "shop:2.0").String(), image.ErrNoRevision); len(got) != 1 {
		t.Errorf("that an image says nothing is remembered; asked %q", got)
	}
	push(t, s.ref(t, "shop:3.0"), single(t, says(otherCommit, source), nil))
	ask(s.ref(t, "shop:3.0").String(), nil)
	if got := ask(first.Context().Digest(digest).String(), nil); len(got) == 0 {
		t.Error("of three images two are remembered")
	}
}

func TestARegistryThatDoesNotAnswerHeadIsAsked(t *testing.T) {
	var deaf atomic.Bool
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead && deaf.Load() {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			h.ServeHTTP(w, r)
		})
	}, httptest.NewServer)
	ref := s.ref(t, "shop:1.0")
	digest := push(t, ref, single(t, says(commit, source), nil))
	deaf.Store(true)
	got, err := image.New().Origin(t.Context(), ref.String(), nil)
	if err != nil || got.Digest != digest || got.Commit != commit {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCredentialsOfPullSecretsAreUsed(t *testing.T) {
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch user, password, _ := r.BasicAuth(); {
			case user == "":
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
			case user != "robot" || password != "s3cret":
				w.WriteHeader(http.StatusForbidden)
			default:
				h.ServeHTTP(w, r)
			}
		})
	}, httptest.NewServer)
	ref := s.ref(t, "private/shop:1.0")
	push(t, ref, single(t, says(commit, source), nil), remote.WithAuth(&authn.Basic{Username: "robot", Password: "s3cret"}))
	cases := map[string]struct {
		reason string
		config string
		want   error
	}{
		"Right":   {"The registry's credentials are sent.", fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"s3cret"}}}`, ref.Context().RegistryStr()), nil},
		"Wrong":   {"A registry may refuse them.", fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"guess"}}}`, ref.Context().RegistryStr()), image.ErrUnauthorized},
		"Others":  {"Those of another registry are not sent.", `{"auths":{"ghcr.io":{"username":"robot","password":"s3cret"}}}`, image.ErrUnauthorized},
		"Nobody":  {"A private image is not for everybody.", `{"auths":{}}`, image.ErrUnauthorized},
		"DotFile": {"The older form of a secret.", fmt.Sprintf(`{%q:{"auth":%q}}`, ref.Context().RegistryStr(), base64.StdEncoding.EncodeToString([]byte("robot:s3cret"))), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			keys, err := image.Keychain([]byte(tc.config))
			if err != nil {
				t.Fatal(err)
			}
			_, err = image.New().Origin(t.Context(), ref.String(), keys)
			if !errors.Is(err, tc.want) {
				t.Errorf("%s\ngot %v, want %v", tc.reason, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "guess") {
				t.Errorf("the error quotes the password: %v", err)
			}
		})
	}
}

func TestLargeAnswersAreNotRead(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/streamed/manifests/") && r.Method == http.MethodGet {
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				_, err := io.Copy(w, io.LimitReader(endless{}, 1<<30))
				if err == nil {
					t.Error("all of it was read")
				}
				return
			}
			h.ServeHTTP(w, r)
		})
	}, httptest.NewServer)
	push(t, s.ref(t, "manifest:1.0"), single(t, map[string]string{"padding": huge}, nil))
	push(t, s.ref(t, "config:1.0"), single(t, nil, map[string]string{"padding": huge}))
	r := image.New(image.WithMaxBytes(64 << 10))
	for _, of := range []string{"manifest:1.0", "config:1.0", "streamed:1.0"} {
		if _, err := r.Origin(t.Context(), s.ref(t, of).String(), nil); !errors.Is(err, image.ErrTooLarge) {
			t.Errorf("%s: %v", of, err)
		}
	}
}

// endless is more than anyone would read.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

func TestARegistryThatDoesNotAnswerEnds(t *testing.T) {
	hang := make(chan struct{})
	s := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		})
	}, httptest.NewServer)
	t.Cleanup(func() { close(hang) })
	_, err := image.New(image.WithTimeout(10*time.Millisecond)).Origin(t.Context(), s.ref(t, "shop:1.0").String(), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestARegistryIsAskedOverTLS(t *testing.T) {
	s := serve(t, open, httptest.NewTLSServer)
	s.URL = strings.Replace(s.URL, "https://", "http://", 1)
	ref := s.ref(t, "shop:1.0")
	client := s.Client().Transport
	push(t, ref, single(t, says(commit, source), nil), remote.WithTransport(client))
	if _, err := image.New(image.WithTransport(client)).Origin(t.Context(), ref.String(), nil); err != nil {
		t.Error(err)
	}
}

func TestPlainHTTPIsForThisMachineOnly(t *testing.T) {
	s := serve(t, open, httptest.NewServer)
	push(t, s.ref(t, "shop:1.0"), single(t, says(commit, source), nil))
	// All names lead to the registry.
	there := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "https" {
			return nil, errors.New("no TLS here")
		}
		r = r.Clone(r.Context())
		r.URL.Host = strings.TrimPrefix(s.URL, "http://")
		return http.DefaultTransport.RoundTrip(r)
	})
	cases := map[string]struct {
		reason  string
		host    string
		plain   []string
		refused bool
	}{
		"Localhost": {"It does not leave the machine.", "localhost:5000", nil, false},
		"Below":     {"As every name below it.", "registry.localhost:5000", nil, false},
		"Private":   {"A private network is a network.", "10.0.0.1:5000", nil, true},
		"Cluster":   {"A Service is in the network too,", "registry.kube-system.svc.cluster.local:5000", nil, true},
		"Allowed":   {"unless it is allowed by name,", "registry.kube-system.svc.cluster.local:5000", []string{"registry.kube-system.svc.cluster.local"}, false},
		"WithPort":  {"or by name and port.", "10.0.0.1:5000", []string{"10.0.0.1:5000"}, false},
		"OtherPort": {"Another port is another registry.", "10.0.0.1:5001", []string{"10.0.0.1:5000"}, true},
		"Public":    {"And any other host.", "registry.example.com", nil, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s.all()
			r := image.New(image.WithTransport(there), image.WithPlainHTTP(tc.plain...))
			_, err := r.Origin(t.Context(), tc.host+"/shop:1.0", nil)
			if asked := s.all(); tc.refused != (err != nil) || tc.refused != (len(asked) == 0) {
				t.Errorf("%s\ngot %v after %q", tc.reason, err, asked)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestATokenIsNotAskedForOverPlainHTTP(t *testing.T) {
	s := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://tokens.example.com/token",service="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}, httptest.NewServer)
	keys, err := image.Keychain([]byte(fmt.Sprintf(`{"auths":{%q:{"username":"robot","password":"s3cret"}}}`, strings.TrimPrefix(s.URL, "http://"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.New().Origin(t.Context(), s.ref(t, "shop:1.0").String(), keys); !errors.Is(err, image.ErrPlainHTTP) {
		t.Errorf("got %v", err)
	}
}
