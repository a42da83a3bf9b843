package event

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Told is a Kubernetes event, in Keptn's words.
type Told struct {
	// About is the object that the event is about, by all of APIVersion, Kind,
	// Namespace, Name and UID.
	About corev1.ObjectReference
	// Version that is delivered; empty where the object has none.
	Version string
	// Phase in words, for example "App Deployment", and State, for example "Started".
	Phase, State string
	// Kind is Normal or Warning.
	Kind string
	// Message as the Kubernetes event has it, for example "App Deployment: has started
	// / Namespace: shop, Name: checkout-1, Version: 1".
	Message string
	// At is when it happened.
	At time.Time
	// Traceparent of the delivery; empty where it is not known.
	Traceparent string
}

// Heard is what a recorder of Kubernetes events was told, as Keptn's CloudEvents tell it.
// Keptn's words are a note that begins with the phase and a colon, and ends with the
// version where there is one, and a reason that is the action, or the phase without its
// blanks, with the state behind it. It is false where an event is not in these words.
func Heard(about corev1.ObjectReference, annotations map[string]string, kind, reason, action, note string, at time.Time) (Told, bool) {
	phase, _, found := strings.Cut(note, ": ")
	state, ofAction := strings.CutPrefix(reason, action)
	if !ofAction {
		state, found = strings.CutPrefix(reason, strings.ReplaceAll(phase, " ", ""))
	}
	if !found || state == "" || !strings.Contains(note, " / Namespace: ") {
		return Told{}, false
	}
	version := ""
	if i := strings.LastIndex(note, ", Version: "); i >= 0 {
		version = note[i+len(", Version: "):]
	}
	return Told{
		About: about, Version: version, Phase: phase, State: state, Kind: kind, Message: note, At: at,
		Traceparent: annotations[traceparent],
	}, true
}

// keptnData is the data of Keptn's CloudEvents.
type keptnData struct {
	Message  string        `json:"message"`
	Resource keptnResource `json:"resource"`
	Type     string        `json:"type"`
	Version  string        `json:"version"`
}

type keptnResource struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Version   string `json:"version"`
}

// OfKubernetes returns Keptn's CloudEvent of a Kubernetes event: the same source, type
// and data, so that what receives Keptn's takes it. The type is "<phase>.<state>", for
// example "App Deployment.Started". It has blanks in it, which no rule forbids and
// consumers filter by: who would rather have none takes our own events. In addition to
// Keptn's it has a subject, namespace/name of the object, and names the trace; the id
// is made of the object, the type, the message and the time.
func OfKubernetes(t Told) cloudevents.Event {
	kind := t.Phase + "." + t.State
	at := t.At.UTC().Format(time.RFC3339Nano)
	digest := sha256.Sum256([]byte(strings.Join([]string{string(t.About.UID), kind, t.Message, at}, "\x00")))
	gv, _ := schema.ParseGroupVersion(t.About.APIVersion) // one that does not parse names neither
	return newEvent(kind, hex.EncodeToString(digest[:16]), t.About.Namespace+"/"+t.About.Name, t.At, t.Traceparent, keptnData{
		Message: t.Message, Type: t.Kind, Version: t.Version,
		Resource: keptnResource{gv.Group, t.About.Kind, t.About.Name, t.About.Namespace, gv.Version},
	})
}
