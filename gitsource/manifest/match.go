package manifest

import (
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// restartedAt is the annotation that kubectl rollout restart writes.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// Matches says whether a running pod template can come from a rendered one:
// everything that is rendered is there, and equal. What only the running one
// has, such as the API server's defaults or a sidecar, does not matter, nor
// does the annotation of kubectl rollout restart. Elements of lists that have
// a name are compared by it, other lists as a whole; quantities by their value.
func Matches(rendered, live corev1.PodTemplateSpec) bool {
	return covers(reflect.ValueOf(withoutRestart(rendered)), reflect.ValueOf(withoutRestart(live)))
}

// MatchesButImages says whether a running pod template can come from a rendered one
// whose containers have been given other images, by name.
func MatchesButImages(rendered, live corev1.PodTemplateSpec) bool {
	given := rendered.DeepCopy()
	for _, of := range []struct{ to, from []corev1.Container }{
		{given.Spec.InitContainers, live.Spec.InitContainers},
		{given.Spec.Containers, live.Spec.Containers},
	} {
		for i := range of.to {
			j := slices.IndexFunc(of.from, func(c corev1.Container) bool { return c.Name == of.to[i].Name })
			if j >= 0 {
				of.to[i].Image = of.from[j].Image
			}
		}
	}
	return Matches(*given, live)
}

// withoutRestart is the template without the annotation restartedAt.
func withoutRestart(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	if _, restarted := t.Annotations[restartedAt]; !restarted {
		return t
	}
	t.Annotations = maps.Clone(t.Annotations)
	delete(t.Annotations, restartedAt)
	if len(t.Annotations) == 0 {
		t.Annotations = nil
	}
	return t
}

// covers says whether all that want states is in have. The zero value of a
// field states nothing, as it is not told from one that was never written.
func covers(want, have reflect.Value) bool {
	switch w := want.Interface().(type) {
	case resource.Quantity:
		return w.Cmp(have.Interface().(resource.Quantity)) == 0
	case intstr.IntOrString:
		return w == have.Interface().(intstr.IntOrString)
	}
	switch want.Kind() {
	case reflect.Pointer:
		return coversPointer(want, have)
	case reflect.Struct:
		return coversStruct(want, have)
	case reflect.Map:
		return coversMap(want, have)
	case reflect.Slice:
		return coversList(want, have)
	default:
		return want.Equal(have)
	}
}

func coversPointer(want, have reflect.Value) bool {
	if have.IsNil() {
		return want.IsNil()
	}
	return covers(want.Elem(), have.Elem())
}

func coversStruct(want, have reflect.Value) bool {
	for i := range want.NumField() {
		if w := want.Field(i); w.CanInterface() && !w.IsZero() && !covers(w, have.Field(i)) {
			return false
		}
	}
	return true
}

func coversMap(want, have reflect.Value) bool {
	for entry := want.MapRange(); entry.Next(); {
		h := have.MapIndex(entry.Key())
		if !h.IsValid() || !covers(entry.Value(), h) {
			return false
		}
	}
	return true
}

func coversList(want, have reflect.Value) bool {
	if named(want.Type().Elem()) {
		for i := range want.Len() {
			if !coversNamed(want.Index(i), have) {
				return false
			}
		}
		return true
	}
	if want.Len() > 0 && want.Len() != have.Len() {
		return false
	}
	for i := range want.Len() {
		if !covers(want.Index(i), have.Index(i)) {
			return false
		}
	}
	return true
}

// named says whether the elements of a list are told apart by their name. A
// volume mount has the name of its volume, which can be mounted twice.
func named(element reflect.Type) bool {
	if element.Kind() != reflect.Struct || element == reflect.TypeFor[corev1.VolumeMount]() {
		return false
	}
	f, ok := element.FieldByName("Name")
	return ok && f.Type.Kind() == reflect.String
}

// coversNamed says whether one of the elements of that name states it all.
func coversNamed(want, list reflect.Value) bool {
	for i := range list.Len() {
		h := list.Index(i)
		if want.FieldByName("Name").Equal(h.FieldByName("Name")) && covers(want, h) {
			return true
		}
	}
	return false
}
