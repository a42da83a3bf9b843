package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/expirable"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/gitsource/image"
)

// AskAgain is for how long a registry that could not be asked is left alone.
const AskAgain = time.Minute

const (
	failuresKept = 1024
	// forAll bounds how long all images of a pod are asked for.
	forAll = 15 * time.Second
)

// Images says from which commits the images of pods were built, by what they say of
// themselves in their registries. Those are asked as a kubelet asks them. It is safe for
// concurrent use.
type Images struct {
	reader   client.Reader
	resolver *image.Resolver
	failures *lru.LRU[string, error]
}

// NewImages returns Images that ask registries through a resolver. Secrets and service
// accounts are read through the reader, which should not cache.
func NewImages(r client.Reader, resolver *image.Resolver) *Images {
	return &Images{reader: r, resolver: resolver, failures: lru.NewLRU[string, error](failuresKept, nil, AskAgain)}
}

// Explain is what the images of a pod claim, each once. One that names no commit has a
// claim without one, whose Doubt is why. Pending are those whose registry could not be
// asked: a later attempt may help.
func (i *Images) Explain(ctx context.Context, namespace string, pod *corev1.PodSpec) (Explanation, error) {
	configs, err := PullSecrets(ctx, i.reader, namespace, pod)
	if err != nil {
		return Explanation{}, err
	}
	configs = slices.DeleteFunc(configs, func(config []byte) bool {
		_, err := image.Keychain(config)
		return err != nil // the kubelet passes it over, too
	})
	keychain, err := image.Keychain(configs...)
	if err != nil {
		return Explanation{}, fmt.Errorf("image pull secrets of namespace %s: %w", namespace, err)
	}
	ctx, cancel := context.WithTimeout(ctx, forAll)
	defer cancel()
	var all Explanation
	for _, ref := range imagesOf(pod) {
		failed := namespace + " " + ref
		if err, known := i.failures.Get(failed); known {
			all.Pending = append(all.Pending, err.Error())
			continue
		}
		origin, err := i.resolver.Origin(ctx, ref, keychain)
		switch {
		case err == nil:
			all.Claims = append(all.Claims, OfImage(ref, origin))
		case saysNothing(err):
			all.Claims = append(all.Claims, Claim{Evidence: Image, By: "image " + ref, Doubt: err.Error()})
		default:
			i.failures.Add(failed, err)
			all.Pending = append(all.Pending, err.Error())
		}
	}
	return all, nil
}

// saysNothing says whether another attempt would find no commit either.
func saysNothing(err error) bool {
	return slices.ContainsFunc([]error{
		image.ErrReference, image.ErrNotFound, image.ErrUnauthorized, image.ErrNoRevision, image.ErrTooLarge, image.ErrPlainHTTP,
	}, func(of error) bool { return errors.Is(err, of) })
}

// imagesOf are the images of a pod, each once.
func imagesOf(pod *corev1.PodSpec) []string {
	var all []string
	for _, containers := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for i := range containers {
			if ref := containers[i].Image; ref != "" && !slices.Contains(all, ref) {
				all = append(all, ref)
			}
		}
	}
	return all
}
