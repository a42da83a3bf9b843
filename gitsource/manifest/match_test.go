package manifest_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/gitsource/manifest"
)

// template decodes a pod template as the API server does.
func template(t *testing.T, text string) corev1.PodTemplateSpec {
	t.Helper()
	var p corev1.PodTemplateSpec
	if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// What the API server makes of the template that a commit rendered.
const live = `
metadata:
  creationTimestamp: null
  labels: {app: cart, team: shop}
  annotations: {kubectl.kubernetes.io/restartedAt: "2026-01-01T00:00:00Z"}
spec:
  restartPolicy: Always
  dnsPolicy: ClusterFirst
  terminationGracePeriodSeconds: 30
  securityContext: {}
  schedulerName: default-scheduler
  containers:
  - name: proxy
    image: mesh/proxy:3
  - name: cart
    image: acme/cart:7
    imagePullPolicy: IfNotPresent
    args: [serve, --verbose]
    env:
    - {name: B, value: "2"}
    - {name: A, value: "1"}
    ports: [{containerPort: 8080, protocol: TCP}, {name: metrics, containerPort: 9090, protocol: TCP}]
    resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: "1", memory: 1Gi}}
    readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTP}, periodSeconds: 10, timeoutSeconds: 1}
    volumeMounts:
    - {name: data, mountPath: /a}
    - {name: data, mountPath: /b, readOnly: true}
  volumes:
  - name: data
    configMap: {name: cart-7h2, defaultMode: 420}
`

func TestATemplateMatchesWhatTheAPIServerMadeOfIt(t *testing.T) {
	cases := map[string]struct {
		reason   string
		rendered string
		want     bool
	}{
		"Nothing":      {"Who states nothing cannot be contradicted.", "", true},
		"Image":        {"Defaults and a sidecar do not matter.", "spec: {containers: [{name: cart, image: 'acme/cart:7'}]}", true},
		"OtherImage":   {"Another image is another commit.", "spec: {containers: [{name: cart, image: 'acme/cart:8'}]}", false},
		"NoContainer":  {"A container that does not run yet.", "spec: {containers: [{name: job, image: 'acme/cart:7'}]}", false},
		"Labels":       {"Labels are a subset.", "metadata: {labels: {app: cart}}", true},
		"OtherLabel":   {"A label that was changed.", "metadata: {labels: {app: cart, team: ops}}", false},
		"Quantity":     {"1000m is 1, and 1024Mi is 1Gi.", "spec: {containers: [{name: cart, resources: {limits: {cpu: 1000m, memory: 1024Mi}}}]}", true},
		"OtherAmount":  {"2 is not 1.", "spec: {containers: [{name: cart, resources: {limits: {cpu: 2}}}]}", false},
		"EnvOrder":     {"Named elements are found in any order.", "spec: {containers: [{name: cart, env: [{name: A, value: '1'}, {name: B, value: '2'}]}]}", true},
		"EnvValue":     {"A variable that was changed.", "spec: {containers: [{name: cart, env: [{name: A, value: '2'}]}]}", false},
		"Args":         {"Lists without names are compared as a whole.", "spec: {containers: [{name: cart, args: [serve]}]}", false},
		"ArgsOrder":    {"And in order.", "spec: {containers: [{name: cart, args: [--verbose, serve]}]}", false},
		"Ports":        {"Ports without a name can be told apart too.", "spec: {containers: [{name: cart, ports: [{containerPort: 8080}, {containerPort: 9090, name: metrics}]}]}", true},
		"OtherPort":    {"A port that is not open.", "spec: {containers: [{name: cart, ports: [{containerPort: 8081}]}]}", false},
		"ProbePort":    {"A probe by number.", "spec: {containers: [{name: cart, readinessProbe: {httpGet: {port: 8080}}}]}", true},
		"ProbeName":    {"A probe by name is another one.", "spec: {containers: [{name: cart, readinessProbe: {httpGet: {port: http}}}]}", false},
		"Mounts":       {"One volume can be mounted twice.", "spec: {containers: [{name: cart, volumeMounts: [{name: data, mountPath: /a}, {name: data, mountPath: /b}]}]}", true},
		"OneMount":     {"A mount that is gone.", "spec: {containers: [{name: cart, volumeMounts: [{name: data, mountPath: /b}]}]}", false},
		"VolumeSource": {"An empty source is a source.", "spec: {volumes: [{name: data, emptyDir: {}}]}", false},
		"Hashed":       {"The name of a generated ConfigMap tells its content.", "spec: {volumes: [{name: data, configMap: {name: cart-8k4}}]}", false},
		"False":        {"A pointer to false states false, and nothing answers.", "spec: {automountServiceAccountToken: false}", false},
		"Restarted":    {"A restart is no change, on either side.", "metadata: {annotations: {kubectl.kubernetes.io/restartedAt: never}}", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := manifest.Matches(template(t, tc.rendered), template(t, live)); got != tc.want {
				t.Errorf("%s\ngot %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestATemplateWithOtherImagesMatchesButForThem(t *testing.T) {
	cases := map[string]struct {
		reason   string
		rendered string
		want     bool
	}{
		"another image": {
			reason:   "kubectl set image and image updaters change no more.",
			rendered: `{spec: {containers: [{name: cart, image: "acme/cart:6"}]}}`,
			want:     true,
		},
		"another argument": {
			reason:   "That is another commit's.",
			rendered: `{spec: {containers: [{name: cart, image: "acme/cart:6", args: [serve]}]}}`,
		},
		"another container": {
			reason:   "An image is given to a container by its name.",
			rendered: `{spec: {containers: [{name: till, image: "acme/cart:7"}]}}`,
		},
	}
	for name, tc := range cases {
		if got := manifest.MatchesButImages(template(t, tc.rendered), template(t, live)); got != tc.want {
			t.Errorf("%s: got %v, want %v: %s", name, got, tc.want, tc.reason)
		}
	}
}

func TestATemplateMatchesItself(t *testing.T) {
	if p := template(t, live); !manifest.Matches(p, p) {
		t.Error("it does not")
	}
}

func TestTheHashOfATemplateChangesWithAllButARestart(t *testing.T) {
	base := template(t, live)
	hash := manifest.TemplateHash(base)
	restarted := *base.DeepCopy()
	restarted.Annotations["kubectl.kubernetes.io/restartedAt"] = "2027-01-01T00:00:00Z"
	if manifest.TemplateHash(restarted) != hash {
		t.Error("a restart changes the hash")
	}
	if base.Annotations["kubectl.kubernetes.io/restartedAt"] != "2026-01-01T00:00:00Z" {
		t.Error("the template was written to")
	}
	if manifest.TemplateHash(template(t, strings.Replace(live, "cpu: \"1\"", "cpu: 1000m", 1))) != hash {
		t.Error("another way to write a quantity changes the hash")
	}
	for _, change := range []string{"acme/cart:7|acme/cart:8", "team: shop|team: ops", "cart-7h2|cart-8k4"} {
		from, to, _ := strings.Cut(change, "|")
		if manifest.TemplateHash(template(t, strings.Replace(live, from, to, 1))) == hash {
			t.Errorf("%s does not change the hash", change)
		}
	}
}

func TestTheDigestOfAWorkloadIsOfItsIdentityAndTemplate(t *testing.T) {
	two := int32(2)
	base := manifest.Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Template: template(t, live)}
	scaled, moved := base, base
	scaled.Replicas = &two
	moved.Namespace = "prod"
	if base.Digest() != scaled.Digest() {
		t.Error("scaling is no change of what runs")
	}
	if base.Digest() == moved.Digest() {
		t.Error("another namespace is another workload")
	}
}
