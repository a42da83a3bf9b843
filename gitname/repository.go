package gitname

import (
	"net/url"
	"strings"
)

// PublicURL is the URL of a repository without what may be a secret: user and
// password (the user of an SSH URL is none), query and fragment. It is empty
// where that cannot be told apart.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return publicSCP(raw)
	}
	switch {
	case u.User == nil:
	case u.Scheme == "ssh":
		u.User = url.User(u.User.Username())
	default:
		u.User = nil
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	return u.String()
}

// publicSCP is PublicURL for Git's scp-like form, user@host:path, which has no
// place for a password.
func publicSCP(raw string) string {
	user, _, hasUser := strings.Cut(raw, "@")
	if strings.Contains(raw, "://") || hasUser && strings.ContainsAny(user, ":/") {
		return ""
	}
	return raw
}

// SameRepository says whether two URLs name one repository: over HTTP or SSH, with
// credentials, a port and Git's extension or without, and in each of the forms that a
// forge has for it. Paths compare without regard to case, as forges' do. What is no URL
// of a server is the same as nothing.
func SameRepository(a, b string) bool {
	first, second := Identity(a), Identity(b)
	return first != "" && first == second
}

// Identity is the same for all URLs that name one repository, see [SameRepository]:
// host/path. It is empty for what is no URL of a server.
func Identity(repository string) string {
	host, path := parse(repository)
	if host == "" {
		return ""
	}
	for _, spelling := range spellings() {
		host, path = spelling(host, path)
	}
	return host + "/" + path
}

// parse takes a URL, or what SSH takes in its place (git@github.com:acme/shop.git),
// apart, in lower case and without Git's extension.
func parse(repository string) (host, path string) {
	if !strings.Contains(repository, "://") {
		before, after, found := strings.Cut(repository, ":")
		if !found || strings.Contains(before, "/") {
			return "", ""
		}
		repository = "ssh://" + before + "/" + strings.TrimPrefix(after, "/")
	}
	u, err := url.Parse(repository)
	if err != nil || u.Scheme == "file" {
		return "", ""
	}
	return strings.ToLower(u.Hostname()), strings.TrimSuffix(strings.ToLower(strings.Trim(u.Path, "/")), ".git")
}

// spellings bring the forms that single forges have for a repository into one, first to
// last.
func spellings() []func(host, path string) (string, string) {
	return []func(host, path string) (string, string){overPort443, azureDevOps, bitbucketServer}
}

// overPort443 is for hosts that serve SSH where a firewall lets only HTTPS through
// (https://docs.github.com/en/authentication/troubleshooting-ssh/using-ssh-over-the-https-port,
// https://docs.gitlab.com/topics/git/troubleshooting_git/#ssh-connection-issues,
// https://support.atlassian.com/bitbucket-cloud/docs/troubleshoot-ssh-issues/).
func overPort443(host, path string) (string, string) {
	for _, prefix := range []string{"ssh.", "altssh."} {
		switch name := strings.TrimPrefix(host, prefix); name {
		case "github.com", "gitlab.com", "bitbucket.org":
			return name, path
		}
	}
	return host, path
}

const azure = "dev.azure.com"

// azureDevOps is for https://dev.azure.com/org/project/_git/name, of which a project's
// own repository may leave out the project, git@ssh.dev.azure.com:v3/org/project/name, and
// the same at the former org.visualstudio.com
// (https://learn.microsoft.com/en-us/azure/devops/repos/git/clone).
func azureDevOps(host, path string) (string, string) {
	parts := strings.Split(path, "/")
	org, legacy := strings.CutSuffix(host, ".visualstudio.com")
	switch {
	case (host == "ssh."+azure || host == "vs-ssh.visualstudio.com") && parts[0] == "v3":
		return azure, strings.Join(parts[1:], "/")
	case legacy:
		if parts[0] == "defaultcollection" {
			parts = parts[1:]
		}
		parts = append([]string{org}, parts...)
	case host != azure:
		return host, path
	}
	switch {
	case len(parts) == 3 && parts[1] == "_git":
		return azure, parts[0] + "/" + parts[2] + "/" + parts[2]
	case len(parts) == 4 && parts[2] == "_git":
		return azure, parts[0] + "/" + parts[1] + "/" + parts[3]
	}
	return azure, strings.Join(parts, "/")
}

// bitbucketServer is for https://host/context/scm/project/name, which is
// ssh://git@host:7999/project/name
// (https://confluence.atlassian.com/bitbucketserver/clone-a-repository-790632786.html).
func bitbucketServer(host, path string) (string, string) {
	parts := strings.Split(path, "/")
	if n := len(parts); n >= 3 && parts[n-3] == "scm" {
		return host, parts[n-2] + "/" + parts[n-1]
	}
	return host, path
}
