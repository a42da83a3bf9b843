package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user and the group that distroless images call nonroot.
const nonroot = 65532

// certificates is where Debian keeps the authorities it trusts, and where Go
// looks for them.
const certificates = "etc/ssl/certs/ca-certificates.crt"

// A file is one entry of a layer; a name that ends in / is a folder.
type file struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// assemble makes the image of one program for one platform.
func assemble(binary string, program []byte, from origin, p v1.Platform) (v1.Image, error) {
	system, err := systemFiles()
	if err != nil {
		return nil, err
	}
	var layers []mutate.Addendum
	for _, l := range []struct {
		by    string
		files []file
	}{
		{"accounts, certificates and temporary files", system},
		{"go build " + from.source, []file{{name: binary, mode: 0o755, content: program}}},
	} {
		layer, err := newLayer(l.files, from.created)
		if err != nil {
			return nil, err
		}
		layers = append(layers, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: from.created}, CreatedBy: l.by},
		})
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, layers...); err != nil {
		return nil, err
	}
	return configure(image, binary, from, p)
}

// configure says how the image is run, and where it comes from.
func configure(image v1.Image, binary string, from origin, p v1.Platform) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Created = v1.Time{Time: from.created}
	config.Config.User = fmt.Sprintf("%d:%d", nonroot, nonroot)
	config.Config.WorkingDir = "/"
	config.Config.Env = []string{"PATH=/"}
	config.Config.Entrypoint = []string{"/" + binary}
	config.Config.Labels = labels(from)
	return mutate.ConfigFile(image, config)
}

// labels are OCI's, see
// https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md.
func labels(from origin) map[string]string {
	l := map[string]string{
		"org.opencontainers.image.source":  from.source,
		"org.opencontainers.image.version": from.version,
		"org.opencontainers.image.created": from.created.Format(time.RFC3339),
	}
	if from.revision != "" {
		l["org.opencontainers.image.revision"] = from.revision
	}
	return l
}

// systemFiles are what a static Go program expects of a system. This machine's
// certificates are taken where it has any.
func systemFiles() ([]file, error) {
	files := []file{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "etc/nsswitch.conf", mode: 0o644, content: []byte("hosts: files dns\n")},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\n" +
			"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{name: "home/", mode: 0o755},
		{name: "home/nonroot/", mode: 0o700, owner: nonroot},
		{name: "tmp/", mode: 0o1777},
	}
	trusted, err := os.ReadFile("/" + certificates)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	return append(files,
		file{name: "etc/ssl/", mode: 0o755},
		file{name: "etc/ssl/certs/", mode: 0o755},
		file{name: certificates, mode: 0o644, content: trusted},
	), nil
}

// newLayer packs files, all with the same time.
func newLayer(files []file, modified time.Time) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner,
			Size: int64(len(f.content)), ModTime: modified, Typeflag: tar.TypeReg,
		}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
