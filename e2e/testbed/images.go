package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The images that every node has.
const (
	pauseImage   = "registry.k8s.io/pause:3.10"
	busyboxImage = "docker.io/library/busybox:1.36"
)

// applets are the names under which busybox is found in its image; any other is
// reached as `busybox NAME`.
var applets = strings.Fields(`ash awk base64 basename cat chmod cp cut date dd df dirname echo env expr
	false find grep gunzip gzip head hostname httpd id ip kill ln ls md5sum mkdir mktemp mv nc nslookup
	ping printenv printf ps pwd rm sed seq sh sha256sum sleep sort stat tail tar tee test time timeout
	touch tr true uname uniq vi wc wget which whoami xargs yes`)

// An image is one layer of files and what runs in it.
type image struct {
	names      []string
	root       string            // a folder that the layer begins with; "" for the least there is
	files      map[string]string // path in the image -> file on disk
	links      map[string]string // path in the image -> what it links to
	entrypoint []string
	command    []string
}

// importOwnImages gives the node the images that cannot be pulled.
func importOwnImages(ctx context.Context, b *bed) error {
	images := map[string]image{
		"pause.tar": {
			names:      []string{pauseImage},
			files:      map[string]string{"pause": b.Binaries["pause"]},
			entrypoint: []string{"/pause"},
		},
		"busybox.tar": {
			names:   []string{busyboxImage, "docker.io/library/busybox:latest"},
			files:   map[string]string{"bin/busybox": "/bin/busybox"},
			links:   map[string]string{},
			command: []string{"sh"},
		},
	}
	for _, applet := range applets {
		images["busybox.tar"].links["bin/"+applet] = "busybox"
	}
	for name, img := range images {
		path := b.path("tmp", name)
		if err := img.write(path); err != nil {
			return err
		}
		if err := importImage(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// importImage gives the node the images of an archive, in docker-save or OCI form.
func importImage(ctx context.Context, archive string) error {
	cmd := exec.CommandContext(ctx, "/usr/bin/ctr", "--address", containerdSocket, "--namespace", "k8s.io", "images", "import", archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w: %s", filepath.Base(archive), err, out)
	}
	return nil
}

// write makes an archive as `docker save` would.
func (img image) write(path string) error {
	layer := path + ".layer"
	defer os.Remove(layer)
	digest, err := img.writeLayer(layer)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Entrypoint": img.entrypoint, "Cmd": img.command,
			"Env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	})
	if err != nil {
		return fmt.Errorf("encode image: %w", err)
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": "config.json", "RepoTags": img.names, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("encode image: %w", err)
	}
	return writeTar(path, func(w *tar.Writer) error {
		if err := addBytes(w, "manifest.json", manifest); err != nil {
			return err
		}
		if err := addBytes(w, "config.json", config); err != nil {
			return err
		}
		return addFile(w, "layer.tar", layer, 0o644)
	})
}

// writeLayer makes the one layer of the image and returns its digest.
func (img image) writeLayer(path string) (string, error) {
	err := writeTar(path, func(w *tar.Writer) error {
		if err := img.addFolders(w); err != nil {
			return err
		}
		for name, file := range img.files {
			if err := addFile(w, name, file, 0o755); err != nil {
				return err
			}
		}
		for name, target := range img.links {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read layer: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read layer: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// addFolders adds what an image's own files lie in.
func (img image) addFolders(w *tar.Writer) error {
	if img.root != "" {
		return w.AddFS(os.DirFS(img.root))
	}
	for name, mode := range map[string]int64{"bin/": 0o755, "etc/": 0o755, "root/": 0o755, "tmp/": 0o1777} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}); err != nil {
			return err
		}
	}
	return nil
}

func writeTar(path string, fill func(*tar.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make archive: %w", err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := fill(w); err != nil {
		return fmt.Errorf("fill %s: %w", path, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("finish %s: %w", path, err)
	}
	return f.Close()
}

func addBytes(w *tar.Writer, name string, text []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := w.Write(text)
	return err
}

func addFile(w *tar.Writer, name, path string, mode int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: info.Size(), ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
