package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// archive writes the images, whole or not at all, and returns the digest of the
// image, or of the index where there are several.
func archive(o order, images []v1.Image) (v1.Hash, error) {
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return v1.Hash{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(o.out), ".image-*")
	if err != nil {
		return v1.Hash{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var digest v1.Hash
	if len(images) == 1 {
		digest, err = writeDocker(f, o, images[0])
	} else {
		digest, err = writeOCI(f, o, images)
	}
	if err != nil {
		return v1.Hash{}, err
	}
	if err := f.Chmod(0o644); err != nil {
		return v1.Hash{}, err
	}
	if err := f.Close(); err != nil {
		return v1.Hash{}, err
	}
	return digest, os.Rename(f.Name(), o.out)
}

// writeDocker writes one image as docker save does.
func writeDocker(w io.Writer, o order, image v1.Image) (v1.Hash, error) {
	if err := tarball.Write(o.tag, image, w); err != nil {
		return v1.Hash{}, err
	}
	return image.Digest()
}

// writeOCI writes an archive of an image layout, see
// https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md. Its
// only entry is an index with one image a platform.
func writeOCI(w io.Writer, o order, images []v1.Image) (v1.Hash, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &o.platforms[i]},
		})
	}
	dir, err := os.MkdirTemp("", "image-layout-")
	if err != nil {
		return v1.Hash{}, fmt.Errorf("make a folder for the layout: %w", err)
	}
	defer os.RemoveAll(dir)
	root, err := layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return v1.Hash{}, err
	}
	if err := root.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": o.tag.TagStr(),
		"io.containerd.image.name":          o.tag.String(),
	})); err != nil {
		return v1.Hash{}, err
	}
	if err := pack(w, dir); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// pack writes the files below dir in the order of their names, without owners
// and times.
func pack(w io.Writer, dir string) error {
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
		if entry.IsDir() {
			return t.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(0, 0)})
		}
		return packFile(t, path, name)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// packFile writes one file.
func packFile(t *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
