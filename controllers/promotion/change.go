package promotion

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// change is what a promotion makes of files in the next stage.
type change struct {
	// files are the new contents by path.
	files map[string][]byte
	// images and copies are what was done, one entry for each that was asked for.
	images []imageChange
	copies []gitopsv1alpha1.PromotedFile
}

// imageChange is an image that was set in a file.
type imageChange struct {
	manifest.Image
	file string
}

// change makes the files of the next stage: those that are copied, and then those in
// which images are set.
func (p *Promoter) change(ctx context.Context, d *delivery, s *stage) (*change, error) {
	if !d.fits() {
		return nil, permanent("commit %q is not the full name of one", d.kav.Spec.Commit.SHA)
	}
	rendered, err := p.rendered(ctx, d, s)
	if err != nil {
		return nil, err
	}
	if err := s.prefetch(ctx, d); err != nil {
		return nil, err
	}
	c := &change{files: map[string][]byte{}}
	for _, file := range d.pull.Copy {
		if err := c.copy(d.repo.Tree(ctx, d.kav.Spec.Commit.SHA), file); err != nil {
			return nil, err
		}
	}
	for _, promoted := range d.pull.Images {
		image, err := manifest.DeliveredImage(rendered.Workloads, promoted.Name)
		if err != nil {
			return nil, permanent("%w", err)
		}
		if err := c.set(s.repo.Tree(ctx, s.base.Commit), image, promoted.File); err != nil {
			return nil, err
		}
	}
	return c, s.refuseOwn(d, c, rendered)
}

// fits says whether the delivery names its commit in full.
func (d *delivery) fits() bool {
	revision, err := gitsource.ParseRevision(d.kav.Spec.Commit.SHA)
	return err == nil && revision.Commit == d.kav.Spec.Commit.SHA
}

// rendered is what the delivered commit renders to, where that is to be known.
func (p *Promoter) rendered(ctx context.Context, d *delivery, s *stage) (*manifest.Rendered, error) {
	if len(d.pull.Images) == 0 && !s.own {
		return &manifest.Rendered{}, nil
	}
	folder := d.lc.Annotations[gitopsv1alpha1.PathAnnotation]
	rendered, err := p.Repositories.Rendered(ctx, d.repo, d.origin, d.kav.Spec.Commit.SHA, folder)
	if err != nil {
		return nil, fmt.Errorf("the delivered commit %.7s: %w", d.kav.Spec.Commit.SHA, err)
	}
	return rendered, nil
}

// prefetch brings all files in one request.
func (s *stage) prefetch(ctx context.Context, d *delivery) error {
	var paths []string
	for _, image := range d.pull.Images {
		paths = append(paths, path.Clean(image.File))
	}
	return s.repo.Prefetch(ctx, s.base.Commit, paths...)
}

// copy takes a file over from the delivered commit.
func (c *change) copy(delivered fs.ReadFileFS, file gitopsv1alpha1.PromotedFile) error {
	from, to := path.Clean(file.From), path.Clean(file.To)
	if _, twice := c.files[to]; twice {
		return permanent("more than one file is copied to %s", to)
	}
	content, err := delivered.ReadFile(from)
	if err != nil {
		return fmt.Errorf("the delivered commit: %w", err)
	}
	c.files[to] = content
	c.copies = append(c.copies, gitopsv1alpha1.PromotedFile{From: from, To: to})
	return nil
}

// set sets an image in a file of the next stage, or in one that is copied there.
func (c *change) set(stage fs.ReadFileFS, image manifest.Image, file string) error {
	file = path.Clean(file)
	content, copied := c.files[file]
	if !copied {
		var err error
		if content, err = stage.ReadFile(file); err != nil {
			return fmt.Errorf("the next stage: %w", err)
		}
	}
	content, _, err := manifest.SetImage(file, content, image)
	if err != nil {
		return permanent("the next stage: %w", err)
	}
	c.files[file] = content
	c.images = append(c.images, imageChange{image, file})
	return nil
}

// refuseOwn refuses to change what the delivery itself came from, on the branch that it
// came from: the promotion would bring about the next delivery, and that a promotion.
func (s *stage) refuseOwn(d *delivery, c *change, rendered *manifest.Rendered) error {
	if !s.own || s.base.Name != d.watched() {
		return nil
	}
	for file := range c.files {
		if rendered.DependsOn(file) || file == d.lc.Annotations[gitopsv1alpha1.FileAnnotation] {
			return permanent("%s is part of the environment %s that is promoted from: name a file of the next one", file, d.environment())
		}
	}
	return nil
}

// summary says in one line what is promoted.
func (c *change) summary() string {
	return oneLine(strings.Join(c.lines(oneLine), ", "))
}

// lines say what is promoted, one line for each thing; names are written by quote.
func (c *change) lines(quote func(string) string) []string {
	var lines []string
	for _, i := range c.images {
		lines = append(lines, fmt.Sprintf("%s in %s", quote(i.Image.String()), quote(i.file)))
	}
	for _, f := range c.copies {
		lines = append(lines, fmt.Sprintf("%s as %s", quote(f.From), quote(f.To)))
	}
	return lines
}
