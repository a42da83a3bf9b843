package gittest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
)

var wantLine = regexp.MustCompile(`want ([0-9a-f]{40})`)

// unadvertisedWant returns the first object of an upload-pack request that no ref
// points at, or "". It leaves the request's body readable.
func (s *Server) unadvertisedWant(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Header.Get("Content-Encoding") == "gzip" {
		if zr, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(zr)
		}
	}
	repo := filepath.Join(s.dir, strings.TrimSuffix(r.URL.Path, "/git-upload-pack"))
	refs, err := command(repo, "", "show-ref", "--head", "--dereference")
	if err != nil {
		return ""
	}
	for _, m := range wantLine.FindAllSubmatch(body, -1) {
		if !strings.Contains(refs, string(m[1])) {
			return string(m[1])
		}
	}
	return ""
}

// refuse answers as git upload-pack does when it is asked for an object it will
// not send (gitprotocol-pack, "error-line").
func refuse(w http.ResponseWriter, want string) {
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	line := "ERR upload-pack: not our ref " + want
	fmt.Fprintf(w, "%04x%s", len(line)+4, line)
}
