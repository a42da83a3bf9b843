package forge

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// unparsable stands for what net/url says, which can quote part of a password.
const unparsable = "it is not a URL; special characters in it must be percent-encoded"

// maxPage is the length of an address that a forge answers with, in characters.
const maxPage = 2000

// A location is what a clone URL tells about a repository's place.
type location struct {
	web  url.URL // scheme and host of the forge's pages
	host string  // with the port, if the URL names one
	path string  // as in the URL, without slashes around it and without .git
	ssh  bool    // then the path knows nothing of the pages' sub-path
}

// locate reads a clone URL, scp-like ones included. Credentials in it are
// dropped, also from errors.
func locate(repository string) (location, error) {
	fail := func(reason string) (location, error) {
		return location{}, fmt.Errorf("repository URL %q: %s; expected something like https://host/owner/repository or git@host:owner/repository", withoutUser(repository), reason)
	}
	endpoint, err := transport.NewEndpoint(repository)
	if err != nil {
		return fail(unparsable)
	}
	l := location{
		web:  url.URL{Scheme: "https", Host: endpoint.Host},
		host: endpoint.Host,
		path: strings.TrimSuffix(strings.Trim(path.Clean("/"+endpoint.Path), "/"), ".git"),
		ssh:  endpoint.Protocol == "ssh",
	}
	if endpoint.Port != 0 {
		l.host = net.JoinHostPort(strings.Trim(endpoint.Host, "[]"), strconv.Itoa(endpoint.Port))
	}
	switch {
	case endpoint.Protocol == "http", endpoint.Protocol == "https":
		l.web = url.URL{Scheme: endpoint.Protocol, Host: l.host}
	case !l.ssh && endpoint.Protocol != "file":
		return fail(fmt.Sprintf("scheme %q is not http, https or ssh", endpoint.Protocol))
	}
	if l.path == "" {
		return fail("it names no repository")
	}
	return l, nil
}

// ownerAndName splits a location's path where a forge has exactly one owner
// above a repository. A web URL may have the forge's own sub-path before.
func (l location) ownerAndName() (base url.URL, owner, name string, err error) {
	parts := strings.Split(l.path, "/")
	n := len(parts)
	if l.host == "" || n < 2 || n > 2 && l.ssh {
		return url.URL{}, "", "", fmt.Errorf("repository %q on host %q is not an owner and a name", l.path, l.host)
	}
	base = l.web
	if n > 2 {
		base.Path = "/" + strings.Join(parts[:n-2], "/")
	}
	return base, parts[n-2], parts[n-1], nil
}

// below is the path below the forge's own, which a web URL has before it and one of SSH
// has not.
func (l location) below(base url.URL) string {
	if rest, found := strings.CutPrefix(l.path, strings.Trim(base.Path, "/")+"/"); found && !l.ssh {
		return rest
	}
	return l.path
}

// parseBase reads the base URL of a forge.
func parseBase(raw string) (url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return url.URL{}, fmt.Errorf("API URL %q: %s", withoutUser(raw), unparsable)
	case u.User != nil:
		return url.URL{}, fmt.Errorf("API URL %q: leave user and password out, the token is given apart", withoutUser(raw))
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return url.URL{}, fmt.Errorf("API URL %q: expected something like https://host", raw)
	}
	return url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// withoutUser drops user and password from a URL that may not even parse.
func withoutUser(raw string) string {
	at := strings.LastIndex(raw, "@")
	if at < 0 {
		return raw
	}
	scheme, _, found := strings.Cut(raw[:at], "://")
	if !found {
		return raw[at+1:]
	}
	return scheme + "://" + raw[at+1:]
}

// pageURL is the address if it leads to a page, in at most limit characters; else
// nothing. An address that is cut leads nowhere.
func pageURL(address string, limit int) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || utf8.RuneCountInString(address) > limit {
		return ""
	}
	return address
}
