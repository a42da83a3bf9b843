package image

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// credentials are those of one registry, or of repositories below a path of it.
type credentials struct {
	host, path string
	auth       authn.AuthConfig
}

// keychain has the credentials of the longest path first.
type keychain []credentials

// Keychain holds the credentials of image pull secrets, given by their data: that of
// .dockerconfigjson, or of the older .dockercfg. A registry may be written with a
// scheme, a path, and * for a label of its host, as Kubernetes takes it
// (https://kubernetes.io/docs/concepts/containers/images/#config-json); the longest
// path counts, and of equal ones the first. It fails for data that is none, without
// quoting it.
func Keychain(configs ...[]byte) (authn.Keychain, error) {
	var all keychain
	for i, config := range configs {
		auths, err := parseConfig(config)
		if err != nil {
			return nil, fmt.Errorf("image pull secret %d of %d: %w", i+1, len(configs), err)
		}
		for _, registry := range slices.Sorted(maps.Keys(auths)) {
			if auths[registry] == (authn.AuthConfig{}) {
				continue
			}
			host, path := registryOf(registry)
			all = append(all, credentials{host: host, path: path, auth: auths[registry]})
		}
	}
	slices.SortStableFunc(all, func(a, b credentials) int {
		return cmp.Or(
			cmp.Compare(len(b.path), len(a.path)),
			cmp.Compare(strings.Count(a.host, "*"), strings.Count(b.host, "*")),
		)
	})
	return all, nil
}

// parseConfig reads both forms of the file.
func parseConfig(config []byte) (map[string]authn.AuthConfig, error) {
	var file struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if err := json.Unmarshal(config, &file); err != nil {
		return nil, fmt.Errorf("not a Docker configuration: %w", err)
	}
	if file.Auths != nil {
		return file.Auths, nil
	}
	old := map[string]authn.AuthConfig{}
	if err := json.Unmarshal(config, &old); err != nil {
		return nil, fmt.Errorf("not a Docker configuration: %w", err)
	}
	return old, nil
}

// registryOf is the host and the path that credentials are for.
func registryOf(registry string) (host, path string) {
	if _, rest, found := strings.Cut(registry, "://"); found {
		registry = rest
	}
	host, path, _ = strings.Cut(strings.TrimRight(registry, "/"), "/")
	if path == "v1" || path == "v2" { // the API's own path is no repository's
		path = ""
	}
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		host = name.DefaultRegistry
	}
	return host, path
}

// Resolve implements authn.Keychain.
func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	repository := strings.TrimPrefix(strings.TrimPrefix(r.String(), r.RegistryStr()), "/")
	for _, c := range k {
		if matchesHost(c.host, r.RegistryStr()) && isBelow(repository, c.path) {
			return authn.FromConfig(c.auth), nil
		}
	}
	return authn.Anonymous, nil
}

// ResolveContext implements authn.ContextKeychain.
func (k keychain) ResolveContext(_ context.Context, r authn.Resource) (authn.Authenticator, error) {
	return k.Resolve(r)
}

// matchesHost says whether a host has as many labels as the pattern, and each is the
// pattern's.
func matchesHost(pattern, host string) bool {
	want, got := strings.Split(pattern, "."), strings.Split(host, ".")
	return slices.EqualFunc(want, got, func(p, label string) bool {
		ok, err := path.Match(p, label)
		return err == nil && ok
	})
}

func isBelow(repository, path string) bool {
	return path == "" || repository == path || strings.HasPrefix(repository, path+"/")
}
