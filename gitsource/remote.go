package gitsource

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// directorySuffix ends the name of every folder that a Store owns.
const directorySuffix = ".git"

// A Remote is one repository and how to reach it.
type Remote struct {
	// URL is http, https, ssh, file, scp-like (git@host:path), or a local path.
	URL string
	// Auth is made by [AuthFromSecret]; the zero value is for public repositories.
	Auth Auth
	// Proxy is made by [ProxyFromSecret]; the zero value is for none, or for the one of
	// the environment over HTTP.
	Proxy Proxy
	// Timeout bounds a conversation beside what the [Store] allows, if it is not zero. A
	// Fetch, whose answer several may share, has the time that their contexts have.
	Timeout time.Duration
}

// PublicURL is a repository's URL without user and password, in one spelling for all
// that lead to one place: https://host/path, http, ssh and file likewise. Its error does
// not repeat what is no URL.
func PublicURL(rawURL string) (string, error) {
	l, err := locate(rawURL)
	if err != nil {
		return "", err
	}
	return l.String(), nil
}

// location is a URL taken apart, its user and password aside.
type location struct {
	endpoint       transport.Endpoint
	user, password string
	way            string // to it, if it is one of the user's own; see Proxy.way
}

// locate parses a URL. Its errors do not repeat it, for it may hold a password.
func locate(rawURL string) (location, error) {
	if rawURL == "" {
		return location{}, errors.New("the repository URL is empty")
	}
	if strings.ContainsAny(rawURL, "\x00\r\n") {
		return location{}, errors.New("the repository URL holds a control character")
	}
	ep, err := transport.NewEndpoint(rawURL)
	if err != nil {
		return location{}, errors.New("the repository URL cannot be parsed; want for example https://host/path")
	}
	l := location{endpoint: *ep, user: ep.User, password: ep.Password}
	l.endpoint.User, l.endpoint.Password = "", ""
	l.endpoint.Protocol = strings.ToLower(ep.Protocol)
	l.endpoint.Host = strings.ToLower(ep.Host)
	l.endpoint.Path = strings.TrimRight(ep.Path, "/")
	switch l.endpoint.Protocol {
	case "file":
		l.endpoint.Path, err = filepath.Abs(ep.Path)
		return l, err
	case "http", "https", "ssh":
		if l.endpoint.Host == "" || l.endpoint.Path == "" {
			return location{}, fmt.Errorf("the repository URL %s lacks a host or a path", l)
		}
		return l, nil
	}
	return location{}, fmt.Errorf("the repository URL's scheme %q is none of https, http, ssh, file", ep.Protocol)
}

// String is the URL without user and password.
func (l location) String() string { return l.endpoint.String() }

func (l location) local() bool { return l.endpoint.Protocol == "file" }

func (l location) ssh() bool { return l.endpoint.Protocol == "ssh" }

// key is the same for all spellings of one repository's URL. The user of an SSH URL
// belongs to it, for it can choose the repository, and so does a way of one's own, at
// whose end there may be another server.
func (l location) key() string {
	key := l.String()
	if l.ssh() {
		key = url.PathEscape(l.user) + "@" + key
	}
	if l.way != "" {
		key += " " + l.way
	}
	return key
}

// directory is the name of the folder where the repository is kept.
func (l location) directory() string {
	sum := sha256.Sum256([]byte(l.key()))
	return fmt.Sprintf("%x%s", sum[:10], directorySuffix)
}
