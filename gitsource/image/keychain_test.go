package image_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/keptn/gitops/gitsource/image"
)

func TestTheCredentialsOfTheLongestPathAreUsed(t *testing.T) {
	keys, err := image.Keychain(
		[]byte(`{"auths":{
			"https://index.docker.io/v1/": {"username":"hub"},
			"ghcr.io": {"username":"all"},
			"https://ghcr.io/acme": {"username":"acme"},
			"*.example.com": {"username":"wildcard"},
			"quay.io": {}
		}}`),
		[]byte(`{"auths":{"ghcr.io/acme":{"username":"late"},"registry.example.com":{"username":"exact"},"quay.io":{"username":"second"},"registry:5000":{"username":"port"}}}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ reason, repository, want string }{
		"Hub":       {"Docker's hub is written by its API.", "nginx", "hub"},
		"HubPath":   {"Whatever the repository.", "docker.io/acme/shop", "hub"},
		"Registry":  {"A registry without a path is for all of it.", "ghcr.io/other/shop", "all"},
		"Path":      {"A path is for what is below it, and the first secret counts.", "ghcr.io/acme/shop", "acme"},
		"NotBelow":  {"A path ends at a slash.", "ghcr.io/acmeinc/shop", "all"},
		"Wildcard":  {"A * is for one label.", "a.example.com/shop", "wildcard"},
		"Exact":     {"A name counts before a pattern.", "registry.example.com/shop", "exact"},
		"TwoLabels": {"And not for two.", "a.b.example.com/shop", ""},
		"Empty":     {"Empty credentials are none.", "quay.io/acme/shop", "second"},
		"Port":      {"A port is part of the name.", "registry:5000/shop", "port"},
		"OtherPort": {"Another port is another registry.", "registry:5001/shop", ""},
	}
	for test, tc := range cases {
		t.Run(test, func(t *testing.T) {
			repository, err := name.NewRepository(tc.repository)
			if err != nil {
				t.Fatal(err)
			}
			found, err := keys.Resolve(repository)
			if err != nil {
				t.Fatal(err)
			}
			config, err := authn.Authorization(t.Context(), found)
			if err != nil || config.Username != tc.want {
				t.Errorf("%s\ngot %q, %v, want %q", tc.reason, config.Username, err, tc.want)
			}
		})
	}
}

func TestAPullSecretThatIsNoneIsSaid(t *testing.T) {
	for name, config := range map[string]string{
		"NoJSON": `s3cret`,
		"NoMap":  `{"auths":["s3cret"]}`,
		"NoAuth": `{"auths":{"ghcr.io":{"auth":"s3cret!"}}}`,
		"Legacy": `{"ghcr.io":"s3cret"}`,
	} {
		_, err := image.Keychain([]byte(`{"auths":{}}`), []byte(config))
		if err == nil || !strings.Contains(err.Error(), "secret 2 of 2") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
