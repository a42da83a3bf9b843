package app

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// versionOf is the version of a workload, in lower case: what is written; else the
// version of the image of the container that is named, or of the only one; else a
// hash over the containers, which is Keptn's.
func versionOf(from []metav1.Object, containers []corev1.Container) (string, error) {
	if written := value(from, lifecyclev1.VersionAnnotation, lifecyclev1.K8sRecommendedVersionAnnotation); written != "" {
		return strings.ToLower(written), nil
	}
	name := value(from, lifecyclev1.ContainerAnnotation)
	image := ""
	for _, c := range containers {
		if c.Name == name || name == "" && len(containers) == 1 {
			name, image = c.Name, c.Image
		}
	}
	if name != "" && image == "" {
		return "", &noContainer{name}
	}
	if version := imageVersion(image); version != "" {
		return strings.ToLower(version), nil
	}
	return hashOf(containers), nil
}

// digestDigits of an image's digest are its version where it has no tag.
const digestDigits = 12

// imageVersion is the tag of an image, unless that is latest; else the first digits
// of its digest; else nothing.
func imageVersion(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	if tagged, ok := named.(reference.Tagged); ok && tagged.Tag() != "latest" {
		return tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		digits := digested.Digest().Encoded()
		return digits[:min(digestDigits, len(digits))]
	}
	return ""
}

// hashOf is FNV-1a, in decimal, over the names, images and plain environment of
// containers, as Keptn computes it.
func hashOf(containers []corev1.Container) string {
	h := fnv.New32a()
	write := func(text string) { _, _ = h.Write([]byte(text)) }
	for _, c := range containers {
		write(c.Name + c.Image)
		for _, e := range c.Env {
			write(e.Name + e.Value)
		}
	}
	return strconv.FormatUint(uint64(h.Sum32()), 10)
}
