package image

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/keptn/gitops/gitname"
)

// Keys of annotations and labels
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys).
const (
	revisionKey = "org.opencontainers.image.revision"
	sourceKey   = "org.opencontainers.image.source"
)

// referenceType marks, within an index, what is no image but speaks of one
// (https://docs.docker.com/build/metadata/attestations/attestation-storage/).
const referenceType = "vnd.docker.reference.type"

// read asks a registry what an image says: its index first, then the first image of
// it. It reads no further than to a commit and a source.
func read(ctx context.Context, puller *remote.Puller, ref name.Reference) (Origin, error) {
	top, err := puller.Get(ctx, ref)
	if err != nil {
		return Origin{}, err
	}
	o := Origin{Digest: top.Digest.String()}
	if top.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(top.Manifest))
		if err != nil {
			return Origin{}, fmt.Errorf("index %s: %w", top.Digest, err)
		}
		child := firstImage(index)
		o.learn(index.Annotations, InIndex)
		if child == nil {
			return o, nil
		}
		o.learn(child.Annotations, InIndex)
		if o.complete() {
			return o, nil
		}
		if top, err = puller.Get(ctx, ref.Context().Digest(child.Digest.String())); err != nil {
			return Origin{}, err
		}
	}
	return o, o.readImage(top)
}

// firstImage is an image of an index; all of them are built from the same commit.
func firstImage(index *v1.IndexManifest) *v1.Descriptor {
	for i := range index.Manifests {
		d := &index.Manifests[i]
		if d.MediaType.IsImage() && d.Annotations[referenceType] == "" {
			return d
		}
	}
	return nil
}

// readImage learns from a manifest, and from the configuration where the manifest
// does not say all. An artifact that is no image has no labels.
func (o *Origin) readImage(d *remote.Descriptor) error {
	manifest, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	o.learn(manifest.Annotations, InManifest)
	if o.complete() || !manifest.Config.MediaType.IsConfig() {
		return nil
	}
	image, err := d.Image()
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("configuration of %s: %w", d.Digest, err)
	}
	o.learn(config.Config.Labels, InLabel)
	return nil
}

func (o *Origin) complete() bool { return o.Commit != "" && o.Source != "" }

// learn takes from annotations or labels what is not known yet. The source of one
// place does not go with the commit of another that came later, where that place
// names a source itself.
func (o *Origin) learn(said map[string]string, at Place) {
	revision, source := said[revisionKey], gitname.PublicURL(said[sourceKey])
	if commit := CommitIn(revision); o.Commit == "" && commit != "" {
		o.Revision, o.Commit, o.Place = revision, commit, at
		if source != "" {
			o.Source = source
		}
	}
	if o.Revision == "" {
		o.Revision = revision
	}
	if o.Source == "" {
		o.Source = source
	}
}
