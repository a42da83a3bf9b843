package forge

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// azureWeb is where Azure DevOps Services is.
const azureWeb = "https://dev.azure.com"

// azure splits the path of a repository of Azure DevOps into the address of its
// organization or collection, its project and its name; see
// https://learn.microsoft.com/azure/devops/repos/git/clone.
func (l location) azure() (base url.URL, project, name string, err error) {
	parts := strings.Split(l.path, "/")
	if l.ssh {
		unescape(parts)
	}
	n := len(parts)
	if l.ssh && n == 4 && parts[0] == "v3" {
		base, err = parseBase(azureWeb + "/" + url.PathEscape(parts[1]))
		return base, parts[2], parts[3], err
	}
	if l.host == "" || n < 2 || parts[n-2] != "_git" {
		return url.URL{}, "", "", fmt.Errorf("repository %q on host %q is none of Azure DevOps: use the clone URL, as https://dev.azure.com/organization/project/_git/name", l.path, l.host)
	}
	base, name = l.web, parts[n-1]
	collection, project, err := l.azureProject(parts[:n-2], name)
	if err == nil && len(collection) > 0 {
		base.Path = "/" + strings.Join(collection, "/")
	}
	return base, project, name, err
}

// azureProject tells the path of a collection from the project after it, which the
// repository that is named as its project may leave out.
func (l location) azureProject(above []string, name string) (collection []string, project string, err error) {
	// A host of the former form is the organization; elsewhere it comes first.
	fewest := 1
	if strings.HasSuffix(l.host, ".visualstudio.com") && !slices.Contains(above, "DefaultCollection") {
		fewest = 0
	}
	switch n := len(above); {
	case n < fewest:
		return nil, "", fmt.Errorf("repository %q on host %q has no organization and no collection", l.path, l.host)
	case n == fewest:
		return above, name, nil
	default:
		return above[:n-1], above[n-1], nil
	}
}

// unescape decodes the parts of a path that SSH takes as it is.
func unescape(parts []string) {
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			parts[i] = plain
		}
	}
}
