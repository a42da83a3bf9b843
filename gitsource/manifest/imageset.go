package manifest

import (
	"fmt"
	"strings"

	imageref "github.com/distribution/reference"
	"go.yaml.in/yaml/v3"
)

// imageEditor finds the places where a file names an image, and what is to be written
// there.
type imageEditor struct {
	text  *text
	image Image
	name  string // normalized
	edits []edit
	// places are how many there are, changed or not.
	places int
	err    error
}

// fail keeps the first error.
func (e *imageEditor) fail(n *yaml.Node, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("line %d: %s", max(n.Line, 1), fmt.Sprintf(format, args...))
	}
}

func (e *imageEditor) add(n *yaml.Node, made edit, ok bool) {
	if !ok {
		e.fail(n, "%q is written in a way that it cannot be changed in place: write it in one line", n.Value)
		return
	}
	e.edits = append(e.edits, made)
}

// walk looks at all fields image. What an alias stands for is set where it is written,
// and therefore may come by more than once.
func (e *imageEditor) walk(n *yaml.Node) {
	for _, child := range n.Content {
		e.walk(child)
	}
	if _, value := fieldOf(n, "image"); value != nil {
		switch at := resolve(value); at.Kind {
		case yaml.ScalarNode:
			e.reference(at)
		case yaml.MappingNode:
			e.values(at)
		default:
		}
	}
}

// reference sets a whole reference.
func (e *imageEditor) reference(n *yaml.Node) {
	if normalized(n.Value) != e.name {
		return
	}
	e.places++
	written, err := imageref.Parse(n.Value)
	named, ok := written.(imageref.Named)
	if err != nil || !ok {
		e.fail(n, "%q is no image reference", n.Value)
		return
	}
	if want := e.image.at(named.Name()); n.Value != want {
		made, ok := e.text.replace(n, want)
		e.add(n, made, ok)
	}
}

// values sets tag and digest beside a repository, as the values of Helm charts have it.
func (e *imageEditor) values(m *yaml.Node) {
	_, registry := fieldOf(m, "registry")
	key, repository := fieldOf(m, "repository")
	full := textOf(repository)
	if at := textOf(registry); at != "" {
		full = at + "/" + full
	}
	if normalized(full) != e.name || full == "" {
		return
	}
	e.places++
	_, tag := fieldOf(m, "tag")
	_, digest := fieldOf(m, "digest")
	if digest == nil && e.image.Digest != "" {
		e.fail(m, "the image is delivered by its digest %s, for which there is no field beside repository: add a field digest, if the chart has it, or deliver it by a tag alone", e.image.Digest)
		return
	}
	e.field(m, key, repository, "tag", tag, e.image.Tag)
	e.field(m, key, repository, "digest", digest, e.image.Digest)
}

// field sets one field of a mapping, which is added after another if it is missing.
func (e *imageEditor) field(m, afterKey, after *yaml.Node, name string, value *yaml.Node, want string) {
	switch {
	case value == nil && want == "", value != nil && textOf(value) == want:
	case value == nil:
		made, ok := e.text.insertField(m, afterKey, after, name+": "+scalarText(want))
		e.add(after, made, ok)
	default:
		made, ok := e.text.replace(value, want)
		e.add(value, made, ok)
	}
}

// kustomization sets the images of a kustomization, nil if it is empty so far. Only that
// can be added to a file which is all of it.
func (e *imageEditor) kustomization(root *yaml.Node, whole bool) {
	if root != nil && root.Kind != yaml.MappingNode {
		e.fail(root, "not a kustomization, but a %s", kindName(root))
		return
	}
	key, images := fieldOf(root, "images")
	before := e.places
	if images != nil {
		for _, item := range resolve(images).Content {
			e.kustomizeImage(resolve(item))
		}
	}
	if e.places > before || e.err != nil {
		return
	}
	if !whole {
		e.fail(root, "the kustomization lists no image %s, and there is more in the file: add it by hand", e.image.Name)
		return
	}
	e.places++
	e.addImage(root, key, images)
}

// kustomizeImage sets newTag and digest of an entry of that name.
func (e *imageEditor) kustomizeImage(m *yaml.Node) {
	key, name := fieldOf(m, "name")
	_, newName := fieldOf(m, "newName")
	if name == nil || normalized(textOf(name)) != e.name && normalized(textOf(newName)) != e.name {
		return
	}
	e.places++
	tagKey, tag := fieldOf(m, "newTag")
	digestKey, digest := fieldOf(m, "digest")
	switch {
	case tag == nil && digest != nil && e.image.Digest == "":
		e.rename(digestKey, digest, "newTag", e.image.Tag)
	case digest == nil && tag != nil && e.image.Tag == "":
		e.rename(tagKey, tag, "digest", e.image.Digest)
	default:
		e.field(m, key, name, "newTag", tag, e.image.Tag)
		e.field(m, key, name, "digest", digest, e.image.Digest)
	}
}

// rename has a field say something else.
func (e *imageEditor) rename(key, value *yaml.Node, name, want string) {
	made, ok := e.text.replace(key, name)
	e.add(key, made, ok)
	made, ok = e.text.replace(value, want)
	e.add(value, made, ok)
}

// addImage adds an entry to the images of a kustomization.
func (e *imageEditor) addImage(root, key, images *yaml.Node) {
	fields := e.image.kustomizeFields()
	flow := "{" + strings.Join(fields, ", ") + "}"
	switch {
	case root != nil && root.Style&yaml.FlowStyle != 0 && images == nil:
		e.fail(root, "the kustomization is written in braces: add images with an entry %s by hand", flow)
	case images == nil:
		indent := 0
		if root != nil {
			indent = root.Column - 1
		}
		e.edits = append(e.edits, e.text.append(indent, append([]string{"images:"}, item(fields)...)))
	case images.Kind == yaml.SequenceNode && images.Style&yaml.FlowStyle != 0:
		made, ok := e.text.insertFlow(images, flow)
		e.add(images, made, ok)
	case images.Kind == yaml.SequenceNode:
		made, ok := e.text.insertLines(lastOf(images), images.Column-1, item(fields))
		e.add(images, made, ok)
	case images.Kind == yaml.ScalarNode && textOf(images) == "":
		made, ok := e.text.insertLines(images, key.Column-1, item(fields))
		e.add(images, made, ok && images.Value == "")
	default:
		e.fail(images, "images is no list that an entry %s could be added to: add it by hand", flow)
	}
}

// kustomizeFields are those of an entry for the image.
func (i Image) kustomizeFields() []string {
	fields := []string{"name: " + scalarText(i.Name)}
	if i.Tag != "" {
		fields = append(fields, "newTag: "+scalarText(i.Tag))
	}
	if i.Digest != "" {
		fields = append(fields, "digest: "+scalarText(i.Digest))
	}
	return fields
}

// item writes fields as an item of a list.
func item(fields []string) []string {
	lines := []string{"- " + fields[0]}
	for _, f := range fields[1:] {
		lines = append(lines, "  "+f)
	}
	return lines
}

// lastOf is the last node in a node.
func lastOf(n *yaml.Node) *yaml.Node {
	for len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n
}
