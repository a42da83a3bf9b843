package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const tag = "docker.io/example/tiny:1"

// A commit of 2026-01-02 03:04:05 in a zone that is not UTC.
const commitTime = "2026-01-02T04:04:05+01:00"

func TestOnePlatformIsWrittenAsDockerSaveDoes(t *testing.T) {
	dir := tinyRepository(t)
	out := filepath.Join(t.TempDir(), "new", "tiny.tar")
	digest := build(t, dir, out, "linux/amd64")

	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(out) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{tag}, manifest[0].RepoTags); diff != "" {
		t.Errorf("containerd names the image after RepoTags (-want +got):\n%s", diff)
	}
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("printed digest %q", digest)
	}
	checkImage(t, image, dir, "amd64")
}

func TestSeveralPlatformsAreAnIndexInAnImageLayout(t *testing.T) {
	dir := tinyRepository(t)
	out := filepath.Join(t.TempDir(), "tiny.tar")
	digest := build(t, dir, out, "linux/amd64,linux/arm64")

	root := readLayout(t, out)
	manifest := indexManifest(t, root)
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has %d entries, want the index alone", len(manifest.Manifests))
	}
	entry := manifest.Manifests[0]
	if got := entry.Digest.String(); got != digest {
		t.Errorf("printed digest %s, archive holds %s", digest, got)
	}
	if got := entry.Annotations["io.containerd.image.name"]; got != tag {
		t.Errorf("containerd would name the image %q, want %q", got, tag)
	}
	index, err := root.ImageIndex(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	var architectures []string
	for _, d := range indexManifest(t, index).Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, image, dir, d.Platform.Architecture)
		architectures = append(architectures, d.Platform.Architecture)
	}
	if diff := cmp.Diff([]string{"amd64", "arm64"}, architectures); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}

func TestTheSameCommitYieldsTheSameArchive(t *testing.T) {
	dir := tinyRepository(t)
	clone := filepath.Join(t.TempDir(), "elsewhere")
	git(t, t.TempDir(), "clone", "-q", dir, clone)
	for _, platforms := range []string{"linux/amd64", "linux/amd64,linux/arm64"} {
		a, b := filepath.Join(t.TempDir(), "a.tar"), filepath.Join(t.TempDir(), "b.tar")
		if first, second := build(t, dir, a, platforms), build(t, clone, b, platforms); first != second {
			t.Errorf("%s: digest %s here, %s in a clone elsewhere", platforms, first, second)
		}
		if !bytes.Equal(read(t, a), read(t, b)) {
			t.Errorf("%s: the archives differ", platforms)
		}
	}
}

func TestAChangedFileYieldsAnotherDigestAndADirtyVersion(t *testing.T) {
	dir := tinyRepository(t)
	out := filepath.Join(t.TempDir(), "tiny.tar")
	before := build(t, dir, out, "linux/amd64")
	write(t, dir, "cmd/tiny/main.go", strings.Replace(tinyMain, "tiny", "huge", 1))
	if after := build(t, dir, out, "linux/amd64"); after == before {
		t.Errorf("digest %s before and after", after)
	}
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := config(t, image).Config.Labels["org.opencontainers.image.version"]; !strings.HasSuffix(got, "-dirty") {
		t.Errorf("version %q does not tell that the files differ from the commit", got)
	}
}

func TestOutsideOfARepositoryNoRevisionIsClaimed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	writeTiny(t, dir)
	out := filepath.Join(t.TempDir(), "tiny.tar")
	build(t, dir, out, "linux/amd64")
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"org.opencontainers.image.source":  "https://example.com/tiny",
		"org.opencontainers.image.version": "devel",
		"org.opencontainers.image.created": "1970-01-01T00:00:00Z",
	}
	if diff := cmp.Diff(want, config(t, image).Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeBuiltIsRefused(t *testing.T) {
	dir := tinyRepository(t)
	out := filepath.Join(t.TempDir(), "tiny.tar")
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"NoTag":      {"An image without a name cannot be used.", []string{"-o", out}, "-tag"},
		"BareTag":    {"containerd wants the registry in the name.", []string{"-o", out, "-tag", "tiny:1"}, "-tag"},
		"NoOutput":   {"There is no sensible default for the archive.", []string{"-tag", tag}, "name it with -o"},
		"NoArch":     {"A platform has an architecture.", []string{"-o", out, "-tag", tag, "-platforms", "linux"}, "linux/amd64"},
		"Argument":   {"A forgotten flag name must not be passed over.", []string{"-o", out, "-tag", tag, "linux/arm64"}, "unexpected argument"},
		"NoProgram":  {"The compiler's own words reach the user.", []string{"-o", out, "-tag", tag, "-dir", dir, "-package", "./cmd/none"}, "cmd/none"},
		"Nameless":   {"A package that is . has no name of its own.", []string{"-o", out, "-tag", tag, "-package", "."}, "-binary"},
		"BadFolder":  {"The folder is named in the error.", []string{"-o", out, "-tag", tag, "-dir", "/nowhere"}, "/nowhere"},
		"NoPlatform": {"GOOS is checked by the compiler.", []string{"-o", out, "-tag", tag, "-dir", dir, "-package", "./cmd/tiny", "-platforms", "linux/vax"}, "linux/vax"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tc.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nrun(%q) = %v, want an error with %q", tc.reason, tc.args, err, tc.want)
			}
			if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s\nan archive was left behind", tc.reason)
			}
		})
	}
}

// checkImage checks what every image of the tiny program has to be.
func checkImage(t *testing.T, image v1.Image, dir, architecture string) {
	t.Helper()
	c := config(t, image)
	revision := git(t, dir, "rev-parse", "HEAD")
	want := v1.Config{
		User:       "65532:65532",
		WorkingDir: "/",
		Env:        []string{"PATH=/"},
		Entrypoint: []string{"/tiny"},
		Labels: map[string]string{
			"org.opencontainers.image.source":   "https://example.com/tiny",
			"org.opencontainers.image.revision": revision,
			"org.opencontainers.image.version":  "v1.2.3",
			"org.opencontainers.image.created":  "2026-01-02T03:04:05Z",
		},
	}
	if diff := cmp.Diff(want, c.Config); diff != "" {
		t.Errorf("%s: config (-want +got):\n%s", architecture, diff)
	}
	if c.OS != "linux" || c.Architecture != architecture {
		t.Errorf("image is for %s/%s, want linux/%s", c.OS, c.Architecture, architecture)
	}
	files := contents(t, image)
	if mode := files["tmp/"].Mode; mode != 0o1777 {
		t.Errorf("%s: /tmp has mode %o: everyone writes, nobody removes another's files", architecture, mode)
	}
	for _, name := range []string{"tiny", "etc/passwd", "etc/group", "etc/nsswitch.conf"} {
		if _, ok := files[name]; !ok {
			t.Errorf("%s: /%s is missing", architecture, name)
		}
	}
	if mode := files["tiny"].Mode; mode != 0o755 {
		t.Errorf("%s: the program has mode %o", architecture, mode)
	}
	if _, err := os.Stat("/" + certificates); err == nil && files[certificates].Size == 0 {
		t.Errorf("%s: this machine's certificates are missing", architecture)
	}
}

// contents lists the files of an image, all layers laid over each other.
func contents(t *testing.T, image v1.Image) map[string]tar.Header {
	t.Helper()
	r := mutate.Extract(image)
	defer r.Close()
	files := map[string]tar.Header{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		name := header.Name
		if header.Typeflag == tar.TypeDir {
			name = strings.TrimSuffix(name, "/") + "/"
		}
		files[name] = *header
	}
}

func config(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func indexManifest(t *testing.T, index v1.ImageIndex) *v1.IndexManifest {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// readLayout unpacks an archive of an image layout.
func readLayout(t *testing.T, archive string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// build runs the command and returns the digest that it prints.
func build(t *testing.T, dir, out, platforms string) string {
	t.Helper()
	var stdout bytes.Buffer
	err := run(t.Context(), []string{
		"-dir", dir, "-package", "./cmd/tiny", "-tag", tag, "-platforms", platforms, "-o", out,
	}, &stdout)
	if err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(strings.Fields(stdout.String())[0], "@")
	return digest
}

const tinyMain = `package main

import "fmt"

var version = "none"

func main() { fmt.Println("tiny", version) }
`

// tinyRepository is a repository whose only commit, tagged v1.2.3, holds a tiny program.
func tinyRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_AUTHOR_DATE", commitTime)
	t.Setenv("GIT_COMMITTER_DATE", commitTime)
	writeTiny(t, dir)
	git(t, dir, "init", "-q")
	git(t, dir, "add", ".")
	git(t, dir, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "Add a tiny program")
	git(t, dir, "tag", "v1.2.3")
	return dir
}

func writeTiny(t *testing.T, dir string) {
	t.Helper()
	write(t, dir, "go.mod", "module example.com/tiny\n\ngo 1.26.0\n")
	write(t, dir, "cmd/tiny/main.go", tinyMain)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}
