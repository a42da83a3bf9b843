package evidence

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/image"
)

// OfImage is the claim that a workload comes from the commit that its image was built
// from.
func OfImage(ref string, o image.Origin) Claim {
	c := Claim{Evidence: Image, By: "image " + ref, Repository: gitname.PublicURL(o.Source), Commit: o.Commit, Revision: o.Revision}
	switch {
	case o.Place == image.InTag:
		c.Doubt = "the tag says so, not the image"
	case o.Place == image.InLabel && o.Source == "":
		c.Doubt = "the label may be that of the image it was built upon"
	}
	return c
}

// PullSecrets are the data of those secrets by which a pod of a namespace pulls its
// images, for image.Keychain: the pod's own, and those of its service account. A
// secret that is missing, or is of another type, is passed over, as the kubelet does.
func PullSecrets(ctx context.Context, r client.Reader, namespace string, pod *corev1.PodSpec) ([][]byte, error) {
	names := slices.Clone(pod.ImagePullSecrets)
	account := corev1.ServiceAccount{}
	name := pod.ServiceAccountName
	if name == "" {
		name = "default"
	}
	err := r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &account)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read service account %s/%s: %w", namespace, name, err)
	}
	var configs [][]byte
	read := map[string]bool{"": true}
	for _, of := range append(names, account.ImagePullSecrets...) {
		if read[of.Name] {
			continue
		}
		read[of.Name] = true
		var secret corev1.Secret
		err := r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: of.Name}, &secret)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read image pull secret %s/%s: %w", namespace, of.Name, err)
		}
		for _, key := range []string{corev1.DockerConfigJsonKey, corev1.DockerConfigKey} {
			if config := secret.Data[key]; len(config) > 0 {
				configs = append(configs, config)
			}
		}
	}
	return configs, nil
}
