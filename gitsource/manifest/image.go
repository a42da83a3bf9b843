package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	imageref "github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// Image is one version of an image.
type Image struct {
	// Name of the image without tag and digest, as ghcr.io/acme/checkout. The names
	// nginx and docker.io/library/nginx are the same.
	Name string
	// Tag is empty where a digest alone says which version it is.
	Tag string
	// Digest such as sha256:…, or empty.
	Digest string
}

// String writes the image as a container's field image has it.
func (i Image) String() string { return i.at(i.Name) }

// at is the version under a name of its own.
func (i Image) at(name string) string {
	if i.Tag != "" {
		name += ":" + i.Tag
	}
	if i.Digest != "" {
		name += "@" + i.Digest
	}
	return name
}

// normalized is the one name that all ways to write an image's name share; empty if it
// is none.
func normalized(name string) string {
	ref, err := imageref.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	return ref.Name()
}

// check refuses what a registry could not have.
func (i Image) check() error {
	ref, err := imageref.ParseNormalizedNamed(i.Name)
	switch {
	case err != nil:
		return fmt.Errorf("image name %q: %w", i.Name, err)
	case !imageref.IsNameOnly(ref):
		return fmt.Errorf("image name %q: leave tag and digest out", i.Name)
	case i.Tag == "" && i.Digest == "":
		return fmt.Errorf("image %s has neither a tag nor a digest", i.Name)
	}
	if _, err := imageref.ParseNormalizedNamed(i.String()); err != nil {
		return fmt.Errorf("image %q: %w", i, err)
	}
	return nil
}

// DeliveredImage says which version of an image workloads run, init containers included.
// It is an error if none runs it, if they run several, or if it is named without a tag
// and a digest, which says nothing about a version.
func DeliveredImage(workloads []Workload, name string) (Image, error) {
	want := normalized(name)
	if want == "" {
		return Image{}, fmt.Errorf("image name %q: not the name of an image, such as ghcr.io/acme/checkout", name)
	}
	var found []Image
	for i := range workloads {
		spec := &workloads[i].Template.Spec
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			if image, ok := imageOf(c, name, want); ok && !slices.Contains(found, image) {
				found = append(found, image)
			}
		}
	}
	switch {
	case len(found) == 0:
		return Image{}, fmt.Errorf("image %s is in no container of the workloads that the commit delivers", name)
	case len(found) > 1:
		return Image{}, fmt.Errorf("image %s is delivered in several versions, %s: only one can be promoted", name, listed(found))
	}
	return found[0], found[0].check()
}

// imageOf reads a container's image; ok is false if it is another one.
func imageOf(c corev1.Container, name, want string) (image Image, ok bool) {
	ref, err := imageref.ParseNormalizedNamed(c.Image)
	if err != nil || ref.Name() != want {
		return Image{}, false
	}
	image.Name = name
	if tagged, is := ref.(imageref.Tagged); is {
		image.Tag = tagged.Tag()
	}
	if digested, is := ref.(imageref.Digested); is {
		image.Digest = digested.Digest().String()
	}
	return image, true
}

func listed(images []Image) string {
	var texts []string
	for _, i := range images {
		texts = append(texts, cmp.Or(strings.TrimPrefix(i.at(""), ":"), "none given"))
	}
	slices.Sort(texts)
	return strings.Join(texts, " and ")
}

// SetImage sets the version of an image in a YAML file, and leaves all else of it as it
// is, to the byte. Name is the file's name: it tells a kustomization.
//
// In a kustomization the images with that name, or newName, get newTag, digest, or both;
// one is added if there is none. In any other file it is every field image with that
// name, in all documents, and every mapping image with repository, maybe registry, tag,
// and digest, as the values of Helm charts have it.
//
// It is an error if the file is no YAML, if it names the image nowhere, or if it is
// written in a way that cannot be changed in place.
func SetImage(name string, content []byte, image Image) (changed []byte, ok bool, err error) {
	if err := image.check(); err != nil {
		return nil, false, err
	}
	edits, err := imageEdits(name, content, image)
	if err != nil || len(edits) == 0 {
		return content, false, err
	}
	after := applied(content, edits)
	// What was written is read again, so that no mistake about the file's form is
	// ever committed.
	if more, err := imageEdits(name, after, image); err != nil || len(more) > 0 {
		return nil, false, fmt.Errorf("%s is written in a way that image %s cannot be set in: set it by hand once, each field in one line", name, image.Name)
	}
	return after, true, nil
}

// imageEdits are the edits that set an image in a file.
func imageEdits(name string, content []byte, image Image) ([]edit, error) {
	if !utf8.Valid(content) {
		return nil, fmt.Errorf("%s is no text in UTF-8", name)
	}
	roots, err := documentRoots(content)
	if err != nil {
		_, message := splitYAMLError(err)
		return nil, fmt.Errorf("%s: %s", name, message)
	}
	e := &imageEditor{text: newText(content), image: image, name: normalized(image.Name)}
	byName := slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
	switch {
	case byName && len(roots) > 1:
		return nil, fmt.Errorf("%s has %d documents: a kustomization is one", name, len(roots))
	case byName && len(roots) == 0:
		roots = append(roots, nil)
	}
	for _, root := range roots {
		if byName || isKustomization(root) {
			e.kustomization(root, len(roots) == 1)
			continue
		}
		e.walk(root)
	}
	switch {
	case e.err != nil:
		return nil, fmt.Errorf("%s: %w", name, e.err)
	case e.places == 0:
		return nil, fmt.Errorf("%s names no image %s", name, image.Name)
	}
	return e.edits, nil
}

// documentRoots parses the documents of a file, without those that are empty.
func documentRoots(content []byte) ([]*yaml.Node, error) {
	var roots []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return roots, nil
		case err != nil:
			return nil, err
		}
		if root := doc.Content[0]; !isEmpty(root) {
			roots = append(roots, root)
		}
	}
}

// isKustomization says whether a document says of itself that it is one.
func isKustomization(root *yaml.Node) bool {
	_, apiVersion := fieldOf(root, "apiVersion")
	_, kind := fieldOf(root, "kind")
	if apiVersion == nil || kind == nil {
		return false
	}
	return apiVersion.Value == types.KustomizationVersion && kind.Value == types.KustomizationKind ||
		apiVersion.Value == types.ComponentVersion && kind.Value == types.ComponentKind
}

// fieldOf finds a field of a mapping, its own only; nil if there is none.
func fieldOf(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// textOf is the text of a scalar, also of one that an alias stands for; empty if there
// is none.
func textOf(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n = resolve(n); n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return ""
	}
	return n.Value
}
