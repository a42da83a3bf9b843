package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/keptn/gitops/gitsource/manifest"
)

const (
	checkout = "ghcr.io/acme/checkout"
	sha      = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	oldSHA   = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestAnImageIsSetWhereItIsNamed(t *testing.T) {
	tag := manifest.Image{Name: checkout, Tag: "v2"}
	digest := manifest.Image{Name: checkout, Digest: sha}
	both := manifest.Image{Name: checkout, Tag: "v2", Digest: sha}
	cases := map[string]struct {
		reason, file string
		image        manifest.Image
		before, want string
	}{
		"NewTag": {"What a stage has.", "kustomization.yaml", tag,
			"# stage\nresources: [../base]   # all\nimages:\n  # ours\n  - name: ghcr.io/acme/checkout # here\n    newTag: v1   # set by keptn\n  - name: other\n    newTag: v1\n",
			"# stage\nresources: [../base]   # all\nimages:\n  # ours\n  - name: ghcr.io/acme/checkout # here\n    newTag: v2   # set by keptn\n  - name: other\n    newTag: v1\n"},
		"NewName": {"A placeholder stands for the image.", "kustomization.yaml", tag,
			"images:\n- name: checkout\n  newName: ghcr.io/acme/checkout\n  newTag: v1\n",
			"images:\n- name: checkout\n  newName: ghcr.io/acme/checkout\n  newTag: v2\n"},
		"Mirror": {"A stage may take the same image from elsewhere.", "kustomization.yaml", tag,
			"images:\n- name: ghcr.io/acme/checkout\n  newName: mirror/checkout\n  newTag: v1\n",
			"images:\n- name: ghcr.io/acme/checkout\n  newName: mirror/checkout\n  newTag: v2\n"},
		"Quotes": {"A quoted value stays quoted.", "kustomization.yaml", tag,
			"images:\n- name: 'ghcr.io/acme/checkout'\n  newTag: \"1.0\"\n", "images:\n- name: 'ghcr.io/acme/checkout'\n  newTag: \"v2\"\n"},
		"Number": {"A tag that reads as a number needs quotes.", "kustomization.yaml", manifest.Image{Name: checkout, Tag: "1.10"},
			"images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n", "images:\n- name: ghcr.io/acme/checkout\n  newTag: \"1.10\"\n"},
		"Boolean": {"So does one that YAML 1.1 takes for a boolean.", "kustomization.yaml", manifest.Image{Name: checkout, Tag: "on"},
			"images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n", "images:\n- name: ghcr.io/acme/checkout\n  newTag: \"on\"\n"},
		"TagForDigest": {"One of the two says it.", "kustomization.yaml", tag,
			"images:\n- digest: " + oldSHA + " # pinned\n  name: ghcr.io/acme/checkout\n", "images:\n- newTag: v2 # pinned\n  name: ghcr.io/acme/checkout\n"},
		"DigestForTag": {"As above.", "kustomization.yaml", digest,
			"images: [{name: ghcr.io/acme/checkout, newTag: v1}]\n", "images: [{name: ghcr.io/acme/checkout, digest: " + sha + "}]\n"},
		"NoLongerPinned": {"A digest that is left would win over the tag.", "kustomization.yaml", tag,
			"images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n  digest: " + oldSHA + "\n", "images:\n- name: ghcr.io/acme/checkout\n  newTag: v2\n  digest: \"\"\n"},
		"Both": {"A digest pins what a tag tells.", "kustomization.yaml", both,
			"images:\n- name: ghcr.io/acme/checkout # c\n  newTag: v1\n", "images:\n- name: ghcr.io/acme/checkout # c\n  digest: " + sha + "\n  newTag: v2\n"},
		"EntryWithoutVersion": {"It had none so far.", "kustomization.yaml", both,
			"images:\n- name: ghcr.io/acme/checkout", "images:\n- name: ghcr.io/acme/checkout\n  newTag: v2\n  digest: " + sha},
		"FlowEntryWithoutVersion": {"As above.", "kustomization.yaml", both,
			"images: [{name: ghcr.io/acme/checkout}]", "images: [{name: ghcr.io/acme/checkout, newTag: v2, digest: " + sha + "}]"},
		"EmptyTag": {"A field may wait for its value.", "kustomization.yaml", tag,
			"images:\n- name: ghcr.io/acme/checkout\n  newTag: # soon\n", "images:\n- name: ghcr.io/acme/checkout\n  newTag: v2 # soon\n"},
		"Added": {"A list without it gets it at its end.", "kustomization.yml", tag,
			"images:\n# ours\n- name: other\n  newTag: v1 # c\n# end\nresources:\n- ../base\n", "images:\n# ours\n- name: other\n  newTag: v1 # c\n- name: ghcr.io/acme/checkout\n  newTag: v2\n# end\nresources:\n- ../base\n"},
		"AddedIndented": {"It is indented as the others.", "kustomization.yml", tag,
			"images:\n    - name: other\n", "images:\n    - name: other\n    - name: ghcr.io/acme/checkout\n      newTag: v2\n"},
		"AddedInBrackets": {"A list in brackets stays one.", "Kustomization", tag,
			"images: [ {name: other, newTag: v1} ]\n", "images: [{name: ghcr.io/acme/checkout, newTag: v2},  {name: other, newTag: v1} ]\n"},
		"AddedToNone": {"An empty list can be filled.", "kustomization.yaml", tag,
			"images: [] # none\n", "images: [{name: ghcr.io/acme/checkout, newTag: v2}] # none\n"},
		"AddedToNull": {"So can one without a value.", "kustomization.yaml", tag,
			"images: # none\nresources: [a]\n", "images: # none\n- name: ghcr.io/acme/checkout\n  newTag: v2\nresources: [a]\n"},
		"AddedList": {"There may be no list.", "kustomization.yaml", tag,
			"resources:\n- ../base", "resources:\n- ../base\nimages:\n- name: ghcr.io/acme/checkout\n  newTag: v2"},
		"EmptyFile": {"Or nothing at all.", "kustomization.yaml", tag, "# todo\n", "# todo\nimages:\n- name: ghcr.io/acme/checkout\n  newTag: v2\n"},
		"ByKind": {"A kustomization says so itself.", "stage.yaml", tag,
			"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n- name: ghcr.io/acme/checkout\n  newTag: v2\n"},
		"SharedTag": {"An alias may stand for others' tags too.", "kustomization.yaml", tag,
			"images:\n- {name: other, newTag: &v v1}\n- {name: ghcr.io/acme/checkout, newTag: *v}\n", "images:\n- {name: other, newTag: &v v1}\n- {name: ghcr.io/acme/checkout, newTag: v2}\n"},
		"LineBreaks": {"Windows' stay.", "kustomization.yaml", tag,
			"images:\r\n- name: other\r\n", "images:\r\n- name: other\r\n- name: ghcr.io/acme/checkout\r\n  newTag: v2\r\n"},
		"Containers": {"All places, in all documents.", "deploy.yaml", both,
			"\ufeffa: é # ü\n---\nspec:\n  initContainers:\n  - image: ghcr.io/acme/checkout@" + oldSHA + "\n  containers:\n  - {name: é, image: 'ghcr.io/acme/checkout:v1'} # main\n  - image: ghcr.io/acme/checkout-ui:v1\n---\nspec: {image: ghcr.io/acme/checkout}\n",
			"\ufeffa: é # ü\n---\nspec:\n  initContainers:\n  - image: ghcr.io/acme/checkout:v2@" + sha + "\n  containers:\n  - {name: é, image: 'ghcr.io/acme/checkout:v2@" + sha + "'} # main\n  - image: ghcr.io/acme/checkout-ui:v1\n---\nspec: {image: ghcr.io/acme/checkout:v2@" + sha + "}\n"},
		"ShortName": {"One image has several names.", "pod.yaml", manifest.Image{Name: "docker.io/library/nginx", Tag: "2"},
			"image: nginx:1\n", "image: nginx:2\n"},
		"Port": {"A port is no tag.", "pod.yaml", manifest.Image{Name: "localhost:5000/a", Tag: "2"},
			"image: localhost:5000/a\n", "image: localhost:5000/a:2\n"},
		"Anchor": {"What an alias stands for is set where it is written.", "values.yaml", tag,
			"x: &img ghcr.io/acme/checkout:v1\na: {image: *img}\nb: {image: *img}\n", "x: &img ghcr.io/acme/checkout:v2\na: {image: *img}\nb: {image: *img}\n"},
		"Helm": {"The values of most charts.", "values.yaml", tag,
			"checkout:\n  image:\n    repository: ghcr.io/acme/checkout\n    pullPolicy: Always\n    tag: v1\n", "checkout:\n  image:\n    repository: ghcr.io/acme/checkout\n    pullPolicy: Always\n    tag: v2\n"},
		"HelmAlias": {"Values may be shared.", "values.yaml", tag,
			"defaults: &d {repository: ghcr.io/acme/checkout}\na: {image: *d}\nb: {image: *d}\n", "defaults: &d {repository: ghcr.io/acme/checkout, tag: v2}\na: {image: *d}\nb: {image: *d}\n"},
		"HelmRegistry": {"Some have the registry apart.", "values.yaml", both,
			"image: {registry: ghcr.io, repository: acme/checkout, digest: \"\"}\n", "image: {registry: ghcr.io, repository: acme/checkout, tag: v2, digest: \"" + sha + "\"}\n"},
		"HelmAdded": {"The tag was the chart's.", "values.yaml", tag,
			"image:\n  repository: ghcr.io/acme/checkout # c\nreplicas: 1\n", "image:\n  repository: ghcr.io/acme/checkout # c\n  tag: v2\nreplicas: 1\n"},
		"JSON":    {"YAML has JSON in it.", "deploy.json", tag, `{"image": "ghcr.io/acme/checkout:v1"}`, `{"image": "ghcr.io/acme/checkout:v2"}`},
		"Already": {"Nothing is to be done.", "deploy.yaml", tag, "image: ghcr.io/acme/checkout:v2\n", "image: ghcr.io/acme/checkout:v2\n"},
		"AlreadyListed": {"As above.", "kustomization.yaml", tag,
			"images:\n- name: ghcr.io/acme/checkout\n  newTag: \"v2\"\n", "images:\n- name: ghcr.io/acme/checkout\n  newTag: \"v2\"\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, changed, err := manifest.SetImage("apps/prod/"+tc.file, []byte(tc.before), tc.image)
			if err != nil {
				t.Fatalf("%s\n%v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" || changed != (tc.want != tc.before) {
				t.Errorf("%s\nchanged %t (-want +got):\n%s", tc.reason, changed, diff)
			}
		})
	}
}

func TestAFileThatNamesNoSuchImageIsAnError(t *testing.T) {
	tag := manifest.Image{Name: checkout, Tag: "v2"}
	cases := map[string]struct {
		reason, file string
		image        manifest.Image
		content      string
		says         string
	}{
		"OtherImage":    {"A typing error must not pass.", "a.yaml", tag, "image: ghcr.io/acme/checkuot:v1\n", "names no image ghcr.io/acme/checkout"},
		"Syntax":        {"A template is no YAML.", "a.yaml", tag, "image: {{ .Values.image }}\n b: [\n", "not valid YAML"},
		"Folded":        {"It is not in one line.", "a.yaml", tag, "image: >-\n  ghcr.io/acme/checkout:v1\n", "line 1"},
		"Escaped":       {"It is not written as it reads.", "a.yaml", tag, `image: "ghcr.io/acme/ch\x65ckout:v1"`, "write it in one line"},
		"Tagged":        {"A number stays none.", "kustomization.yaml", tag, "images:\n- name: ghcr.io/acme/checkout\n  newTag: !!int 1\n", "line 3"},
		"NoDigestField": {"A digest must not be dropped in silence.", "values.yaml", manifest.Image{Name: checkout, Digest: sha}, "image: {repository: ghcr.io/acme/checkout, tag: v1}\n", "no field beside repository"},
		"Documents":     {"kustomize takes one.", "kustomization.yaml", tag, "a: 1\n---\nb: 1\n", "2 documents"},
		"ManyKinds":     {"Nobody knows where its end is.", "all.yaml", tag, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n---\nimage: a\n", "by hand"},
		"Braces":        {"Rare, and easily done by hand.", "kustomization.yaml", tag, "{resources: [a]}\n", "by hand"},
		"NoMapping":     {"A list is no kustomization.", "kustomization.yaml", tag, "- a\n", "not a kustomization"},
		"NoList":        {"A list is expected.", "kustomization.yaml", tag, "images: {a: b}\n", "no list"},
		"ExplicitKey":   {"Nobody writes it so.", "kustomization.yaml", tag, "images:\n- ? name\n  : ghcr.io/acme/checkout\n", "set it by hand"},
		"DocumentEnd":   {"What comes after it is another one.", "kustomization.yaml", tag, "resources: [a]\n...\n", "set it by hand"},
		"UTF16":         {"It would be read differently.", "a.yaml", tag, "\xff\xfei\x00", "UTF-8"},
		"NoVersion":     {"There is nothing to set.", "a.yaml", manifest.Image{Name: checkout}, "image: ghcr.io/acme/checkout\n", "neither a tag nor a digest"},
		"TagInName":     {"It would be set twice.", "a.yaml", manifest.Image{Name: checkout + ":v1", Tag: "v2"}, "", "leave tag and digest out"},
		"BadTag":        {"Nothing but a tag gets into the file.", "a.yaml", manifest.Image{Name: checkout, Tag: "v2 # \nx: y"}, "", "image"},
		"BadDigest":     {"As above.", "a.yaml", manifest.Image{Name: checkout, Digest: "sha256:1"}, "", "image"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, changed, err := manifest.SetImage(tc.file, []byte(tc.content), tc.image)
			if err == nil || !strings.Contains(err.Error(), tc.says) || changed {
				t.Errorf("%s\ngot %q, changed %t, %v; want an error that says %q", tc.reason, got, changed, err, tc.says)
			}
		})
	}
}

// running are workloads whose containers run images; the first is an init container.
func running(images ...string) []manifest.Workload {
	var ws []manifest.Workload
	for i, image := range images {
		w := manifest.Workload{Kind: "Deployment", Name: fmt.Sprint(i)}
		if i == 0 {
			w.Template.Spec.InitContainers = []corev1.Container{{Image: image}}
		} else {
			w.Template.Spec.Containers = []corev1.Container{{Image: "sidecar:1"}, {Image: image}}
		}
		ws = append(ws, w)
	}
	return ws
}

func TestTheDeliveredImageIsTheOneThatWorkloadsRun(t *testing.T) {
	cases := map[string]struct {
		reason string
		images []string
		want   manifest.Image
		says   string
	}{
		"Tag":      {"The usual one.", []string{"a", checkout + ":v2"}, manifest.Image{Name: checkout, Tag: "v2"}, ""},
		"Init":     {"Init containers are delivered too.", []string{checkout + ":v2"}, manifest.Image{Name: checkout, Tag: "v2"}, ""},
		"Digest":   {"Both parts are promoted.", []string{"a", checkout + ":v2@" + sha, checkout + ":v2@" + sha}, manifest.Image{Name: checkout, Tag: "v2", Digest: sha}, ""},
		"Several":  {"One of them would be lost.", []string{checkout + ":v2", checkout + ":v1"}, manifest.Image{}, "v1 and v2"},
		"Unnamed":  {"It is also another version.", []string{checkout + ":v2", checkout}, manifest.Image{}, "none given and v2"},
		"None":     {"A typing error must not pass.", []string{"a", checkout + "-ui:v2"}, manifest.Image{}, "in no container"},
		"Untagged": {"It says nothing of a version.", []string{checkout}, manifest.Image{}, "neither a tag nor a digest"},
		"Invalid":  {"What is no reference is no image.", []string{"%%%", checkout + ":v2"}, manifest.Image{Name: checkout, Tag: "v2"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := manifest.DeliveredImage(running(tc.images...), checkout)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s\n%v, want an error that says %q", tc.reason, err, tc.says)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
	if _, err := manifest.DeliveredImage(nil, "A B"); err == nil {
		t.Error("a name that is none: want an error")
	}
}

// outline is what a file says, without what is about versions of the image.
func outline(t *testing.T, content []byte) string {
	var b strings.Builder
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var doc yaml.Node
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("not YAML any more: %v\n%s", err, content)
		}
		var one strings.Builder
		sketch(&one, doc.Content[0])
		if said := one.String(); doc.Content[0].ShortTag() != "!!null" && said != "4()" { // nothing but the image
			b.WriteString(said)
		}
	}
}

func sketch(b *strings.Builder, n *yaml.Node) {
	fmt.Fprintf(b, "%d(", n.Kind)
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch key.Value {
			case "newTag", "digest", "tag":
			case "images":
				if len(value.Content) > 0 && value.Kind == yaml.SequenceNode {
					items := *value
					items.Content = nil
					for _, item := range value.Content {
						if item.Kind != yaml.MappingNode || len(item.Content) < 2 || item.Content[1].Value != checkout {
							items.Content = append(items.Content, item)
						}
					}
					if len(items.Content) > 0 {
						sketch(b, &items)
					}
				}
			default:
				sketch(b, key)
				sketch(b, value)
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			sketch(b, item)
		}
	default:
		value := n.Value
		if strings.HasPrefix(value, checkout) {
			value = checkout
		}
		b.WriteString(n.Anchor + " " + value)
	}
	b.WriteString(")")
}

func FuzzSetImage(f *testing.F) {
	for _, s := range []string{
		"images:\n- name: ghcr.io/acme/checkout\n  newTag: v1\n", "images: [{name: a}] # c\n", "a: &x ghcr.io/acme/checkout\nimage: *x\n",
		"image:\n  repository: ghcr.io/acme/checkout\n", "---\nimage: 'ghcr.io/acme/checkout:1'\n--- \nb: \"é\"\n", "images:\n", "\ufeff# x\r\nresources: []\r\n",
		"images:\n- {name: ghcr.io/acme/checkout, digest: " + oldSHA + "}\n", "image: !!str &a ghcr.io/acme/checkout:1\u0085b: 1\n",
	} {
		f.Add(true, s)
		f.Add(false, s)
	}
	f.Fuzz(func(t *testing.T, kustomization bool, content string) {
		name := "values.yaml"
		if kustomization {
			name = "kustomization.yaml"
		}
		image := manifest.Image{Name: checkout, Tag: "1.10"}
		got, changed, err := manifest.SetImage(name, []byte(content), image)
		if err != nil {
			return
		}
		if changed == (string(got) == content) {
			t.Errorf("changed is %t for\n%q\n%q", changed, content, got)
		}
		if _, again, err := manifest.SetImage(name, got, image); again || err != nil {
			t.Errorf("set once more it changes (%t, %v):\n%q", again, err, got)
		}
		if diff := cmp.Diff(outline(t, []byte(content)), outline(t, got)); diff != "" {
			t.Errorf("something else changed (-before +after):\n%s\n%q\n%q", diff, content, got)
		}
	})
}
