package gitsource

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/signature"
)

// sshKey is a new key, and a function that signs with it as Git does.
func sshKey(t *testing.T) (*signature.Keys, func(payload string) string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signature.ParseKeys(map[string][]byte{"key.pub": ssh.MarshalAuthorizedKey(signer.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	return keys, func(payload string) string {
		sig, err := sshsig.Sign(strings.NewReader(payload), signer, sshsig.HashSHA512, "git")
		if err != nil {
			t.Fatal(err)
		}
		return string(sshsig.Armor(sig))
	}
}

func TestWhatWasSignedOfACommitIsWhatGitStores(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	keys, sign := sshKey(t)
	unsigned := repo.Commit("main", "one", map[string]string{"a": "1"})
	repo.Commit("main", "two", map[string]string{"a": "2"})
	signed := repo.Sign("main", sign)
	for place, url := range map[string]string{"http": repo.URL, "local": repo.Dir} {
		t.Run(place, func(t *testing.T) {
			r := open(t, newStore(t), url)
			fetch(t, r, Ref{})
			s, err := r.CommitSignature(t.Context(), signed)
			if err != nil || !s.Time.Equal(gittest.Epoch.Add(60e9)) {
				t.Fatalf("made at %v: %v", s.Time, err)
			}
			if _, err := keys.Verify(s, gittest.Epoch); err != nil {
				t.Error(err)
			}
			s, err = r.CommitSignature(t.Context(), unsigned)
			if err != nil || s.Signature != "" {
				t.Errorf("signed by %q: %v", s.Signature, err)
			}
			if _, err := r.CommitSignature(t.Context(), strings.Repeat("ab", 20)); !errors.Is(err, ErrCommitNotFound) {
				t.Errorf("of no commit: %v", err)
			}
		})
	}
}

func TestATagIsFetchedAsItWasSigned(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	keys, sign := sshKey(t)
	first := repo.Commit("main", "one", map[string]string{"a": "1"})
	second := repo.Commit("main", "two", map[string]string{"a": "2"})
	object := repo.SignedTag("v1.0.0", first, sign)
	repo.Tag("v0.9.0", first, "unsigned")
	repo.Git("-c", "user.name=Tess", "-c", "user.email=tess@example.com", "tag", "-m", "nested", "v1.2.0", "v1.0.0")
	repo.Git("update-ref", "refs/tags/v2.0.0", object)

	cases := map[string]struct {
		reason string
		ref    Ref
		commit string
		signed bool
		says   string
	}{
		"Tag":      {"By its name.", Ref{Tag: "v1.0.0"}, first, true, ""},
		"SemVer":   {"The highest in a range.", Ref{SemVer: "1.0.x"}, first, true, ""},
		"Name":     {"By its full name.", Ref{Name: "refs/tags/v1.0.0"}, first, true, ""},
		"Unsigned": {"An annotated tag without a signature.", Ref{Tag: "v0.9.0"}, first, false, ""},
		"Nested":   {"A tag of a tag is of its commit, and signed itself or not.", Ref{Tag: "v1.2.0"}, first, false, ""},
		"Renamed":  {"Who signed v1.0.0 did not sign v2.0.0.", Ref{Tag: "v2.0.0"}, first, false, `the tag "v2.0.0" calls itself "v1.0.0"`},
		"Other":    {"Nor another commit.", Ref{Tag: "v1.0.0"}, second, false, "and not about the commit " + second},
	}
	for place, url := range map[string]string{"http": repo.URL, "local": repo.Dir} {
		for name, tc := range cases {
			t.Run(place+"/"+name, func(t *testing.T) {
				r := open(t, newStore(t), url)
				fetch(t, r, Ref{})
				rev := fetch(t, r, tc.ref)
				rev.Commit = tc.commit
				tag, err := r.TagSignature(t.Context(), rev)
				if tc.says != "" {
					if !errors.Is(err, signature.ErrBadSignature) || !strings.Contains(err.Error(), tc.says) {
						t.Fatalf("%s\n%v", tc.reason, err)
					}
					return
				}
				if err != nil {
					t.Fatalf("%s\n%v", tc.reason, err)
				}
				if _, err := keys.Verify(tag.Signed, gittest.Epoch); (err == nil) != tc.signed {
					t.Errorf("%s\n%v", tc.reason, err)
				}
			})
		}
	}
}

func TestATagIsFetchedOnce(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*gittest.Server){
		"Any":      func(*gittest.Server) {},
		"NoFilter": (*gittest.Server).DisableFilter,
		"TipsOnly": (*gittest.Server).RefuseUnadvertisedWants,
	} {
		t.Run(name, func(t *testing.T) {
			srv := gittest.New(t)
			set(srv)
			repo := srv.Create(t, "app")
			_, sign := sshKey(t)
			repo.SignedTag("v1", repo.Commit("main", "one", map[string]string{"a": "1"}), sign)
			r := open(t, newStore(t), repo.URL)
			rev := fetch(t, r, Ref{Tag: "v1"})
			if _, err := r.TagSignature(t.Context(), rev); err != nil {
				t.Fatal(err)
			}
			srv.Fail(http.StatusServiceUnavailable)
			if _, err := r.TagSignature(t.Context(), rev); err != nil {
				t.Errorf("it was asked for again: %v", err)
			}
		})
	}
}

func TestATagThatIsGoneIsNotFound(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	commit := repo.Commit("main", "one", map[string]string{"a": "1"})
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{})
	_, err := r.TagSignature(t.Context(), Revision{Name: "v1", Commit: commit, Tag: strings.Repeat("ab", 20)})
	if !errors.Is(err, ErrRefNotFound) {
		t.Error(err)
	}
}

func TestATagIsFetchedOverSSHToo(t *testing.T) {
	t.Parallel()
	repo := gittest.New(t).Create(t, "app")
	keys, sign := sshKey(t)
	repo.SignedTag("v1", repo.Commit("main", "one", map[string]string{"a": "1"}), sign)
	r, err := newSSHServer(t).open(t, newStore(t), repo.Dir, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := r.TagSignature(t.Context(), fetch(t, r, Ref{Tag: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Verify(tag.Signed, gittest.Epoch); err != nil {
		t.Error(err)
	}
}
