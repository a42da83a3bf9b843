package check_test

import (
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource/manifest"
)

// lifecycle names one policy.
const lifecycle = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: shop}
spec:
  preDeployment: {policies: [availability]}
`

// sloPolicy names an SLO in a policy of its own.
const sloPolicy = `---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata: {name: availability}
spec:
  slos:
    - name: shop
      openSLO: shop-availability
  rules:
    - {name: budget, expression: slo.shop.budgetRemaining > 0.1}
`

// document is an OpenSLO SLO.
const document = `apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {metricSourceRef: prometheus, spec: {query: good}}
        total:
          metricSource: {metricSourceRef: prometheus, spec: {query: total}}
  timeWindow:
    - duration: 1M
      calendar:
        startTime: 2026-01-01 00:00:00
        timeZone: Europe/Vienna
  budgetingMethod: Occurrences
  objectives:
    - target: 0.999
`

func named(name string, replace ...string) string {
	return strings.NewReplacer(append(replace, "NAME", name)...).Replace(document)
}

// shop is a tree of files with a workload.
func shop(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{"shop/deployment.yaml": {Data: []byte(workload)}}
	for name, data := range files {
		tree[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return tree
}

// told are problems as an author reads them.
func told(problems manifest.Problems) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return lines
}

func TestOpenSLODocumentsAreReadInAndBesideALifecycle(t *testing.T) {
	otherSLI := strings.Replace(named("availability"), "  indicator:\n    spec:", "  indicatorRef: answered\n  indicator: # none\n  x:\n    spec:", 1)
	otherSLI = otherSLI[:strings.Index(otherSLI, "  indicator: #")] + otherSLI[strings.Index(otherSLI, "  timeWindow:"):]
	sli := "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: answered, labels: {teams: [a, b]}}\nspec: {ratioMetric: {bad: {metricSource: {type: Prometheus, spec: {query: bad}}}, total: {metricSource: {type: Prometheus, spec: {query: total}}}}}\n"
	good := named("shop-availability")
	cases := map[string]struct {
		reason   string
		files    map[string]string
		problems []string
		slos     []string // of the app's policies: policy/slo provider
	}{
		"SameFile":  {"A policy names an SLO of the same file.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy + "---\n" + good}, nil, []string{"availability/shop prometheus"}},
		"Beside":    {"Or of a file beside it.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy, "shop/slos.yml": good}, nil, []string{"availability/shop prometheus"}},
		"Lifecycle": {"A Lifecycle can name the SLO itself.", map[string]string{"shop/lifecycle.yaml": lifecycle, "shop/slo.yaml": named("availability")}, nil, []string{"availability/availability prometheus"}},
		"Several":   {"What an SLO needs can be in any of the files.", map[string]string{"shop/lifecycle.yaml": lifecycle, "shop/slo.yaml": otherSLI, "shop/sli.yaml": sli}, nil, []string{"availability/availability prometheus"}},
		"Policy":    {"A policy of the repository comes before an SLO.", map[string]string{"shop/lifecycle.yaml": lifecycle, "shop/slo.yaml": named("availability"), "shop/cart/lifecycle.yaml": strings.TrimPrefix(sloPolicy, "---\n") + "---\n" + good}, nil, []string{"availability/shop prometheus"}},
		"Elsewhere": {"A policy's own folder has its SLO, also outside the paths.", map[string]string{"shop/lifecycle.yaml": lifecycle, "else/lifecycle.yaml": strings.TrimPrefix(sloPolicy, "---\n"), "else/slo.yaml": good}, nil, []string{"availability/shop prometheus"}},
		"Missing": {"A slip in the name is told where it is.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy, "shop/slo.yaml": named("shop-availably")},
			[]string{`shop/lifecycle.yaml:13:16: policy "availability": spec.slos[0].openSLO: there is no OpenSLO SLO "shop-availability", did you mean "shop-availably"?: write it in this file, or in another *.yaml beside it`}, []string{"availability/shop "}},
		"Below": {"Files in other folders are not looked into.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy, "shop/slo/slo.yaml": good},
			[]string{`shop/lifecycle.yaml:13:16: policy "availability": spec.slos[0].openSLO: there is no OpenSLO SLO "shop-availability": write it in this file, or in another *.yaml beside it`}, []string{"availability/shop "}},
		"UnknownField": {"A field is told by its name, and so is what cannot be used for it.", map[string]string{"shop/lifecycle.yaml": lifecycle, "shop/slo.yaml": named("availability", "budgetingMethod", "budgettingMethod")},
			[]string{
				`shop/lifecycle.yaml:5:30: the OpenSLO SLO "availability" has errors: mend them`,
				`shop/slo.yaml:4:1: OpenSLO SLO "availability": spec.budgetingMethod: budgetingMethod is required: write Occurrences, to count events, or Timeslices, to count slices of time`,
				`shop/slo.yaml:19:3: OpenSLO SLO "availability": spec.budgettingMethod: unknown field "budgettingMethod", did you mean "budgetingMethod"? (known here: description, service, indicator, indicatorRef, timeWindow, budgetingMethod, objectives, alertPolicies)`,
			}, nil},
		"Unused": {"What no policy needs only warns.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy, "shop/slo.yaml": good + "---\n" + named("other", "Occurrences", "RatioTimeslices")},
			[]string{`shop/slo.yaml:41:20: warning: OpenSLO SLO "other": spec.budgetingMethod: RatioTimeslices, the mean of the ratios of all slices, is not supported: write Occurrences, or Timeslices with a timeSliceTarget`}, []string{"availability/shop prometheus"}},
		"OwnUnused": {"In lifecycle.yaml itself it is an error.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy + "---\n" + good + "---\n" + named("other", "0.999", "99.9")},
			[]string{`shop/lifecycle.yaml:59:15: OpenSLO SLO "other": spec.objectives[0].target: target 99.9 is no fraction above 0 and below 1, as 0.999: write targetPercent for a percentage`}, []string{"availability/shop prometheus"}},
		"Template": {"A mistake in a query is told where the query is.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy, "shop/slo.yaml": named("shop-availability", "{query: good}", "{query: 'good{{.win}}'}")},
			[]string{`shop/slo.yaml:11:76: OpenSLO SLO "shop-availability": spec.indicator.spec.ratioMetric.good.metricSource.spec.query: `}, []string{"availability/shop prometheus"}},
		"Syntax": {"A file with OpenSLO documents has to be YAML.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy + "---\n" + good, "shop/kustomization.yaml": "resources: [deployment.yaml]\n", "shop/slo.yaml": "apiVersion: openslo/v1\nkind: [\n"},
			[]string{`shop/slo.yaml:2:1: not valid YAML: did not find expected node content`}, []string{"availability/shop prometheus"}},
		"NotCalled": {"Without a name that calls for them, other files are not read.", map[string]string{"shop/lifecycle.yaml": "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: shop}\n", "shop/slo.yaml": named("other", "Occurrences", "RatioTimeslices")}, nil, nil},
		"NoDocument": {"Other manifests and tests of policies are passed over.", map[string]string{"shop/lifecycle.yaml": lifecycle + sloPolicy + "---\n" + good, "shop/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: openslo}\n", "shop/shop_test.yaml": "apiVersion: openslo/v2\n"},
			nil, []string{"availability/shop prometheus"}},
		"Reference": {"Other slos of the policy are still placed by their line.", map[string]string{"shop/lifecycle.yaml": lifecycle + strings.Replace(sloPolicy, "  rules:", "    - name: own\n      objective: 99\n      window: {rolling: 1d}\n      threshold: {provider: {name: p}, query: 'q{{.x}}', op: lt, value: 1}\n  rules:", 1), "shop/slo.yaml": strings.Replace(good, "- target: 0.999", "- target: 0.999\n    - target: 0.9", 1)},
			[]string{`shop/lifecycle.yaml:17:51: policy "availability": spec.slos[1].threshold.query: .x is not known`}, []string{"availability/shop_1 prometheus", "availability/shop_2 prometheus", "availability/shop ", "availability/own "}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := check.Tree(t.Context(), shop(tc.files), []string{"shop"})
			if err != nil {
				t.Fatal(err)
			}
			got := told(found.Problems)
			if len(got) != len(tc.problems) {
				t.Errorf("%s (-want +got):\n%s", tc.reason, cmp.Diff(tc.problems, got))
			}
			for i := range min(len(got), len(tc.problems)) {
				if !strings.HasPrefix(got[i], tc.problems[i]) {
					t.Errorf("%s\n got %s\nwant %s", tc.reason, got[i], tc.problems[i])
				}
			}
			app := found.Apps[0]
			if app.Problems.HasErrors() != found.Problems.HasErrors() {
				t.Errorf("%s\nproblems of the app: %v", tc.reason, told(app.Problems))
			}
			var slos []string
			for _, p := range app.Policies {
				for _, s := range p.Spec.SLOs {
					provider := ""
					if s.Ratio != nil {
						provider = s.Ratio.Provider.Name
					}
					slos = append(slos, p.Name+"/"+s.Name+" "+provider)
				}
			}
			if diff := cmp.Diff(tc.slos, slos); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnSLOThatALifecycleNamesIsAPolicyOfItsFile(t *testing.T) {
	found, err := check.Tree(t.Context(), shop(map[string]string{"shop/lifecycle.yaml": lifecycle, "shop/slo.yaml": named("availability")}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Problems) > 0 || len(found.Files) != 1 || len(found.Files[0].Policies) != 1 {
		t.Fatalf("problems %v, files %v", found.Problems, found.Files)
	}
	if diff := cmp.Diff(found.Apps[0].Policies, found.Files[0].Policies); diff != "" {
		t.Errorf("the app and its file differ (-app +file):\n%s", diff)
	}
}

func TestAFileOfPoliciesIsReadWithWhatIsBesideIt(t *testing.T) {
	cases := map[string]struct {
		reason, file, files string
		policies            []string
		errors              int
	}{
		"OpenSLO":  {"Each SLO of the file is a policy.", "slo.yaml", "-- slo.yaml --\n" + named("a-b") + "---\n" + named("c") + "-- other.yaml --\n" + named("d"), []string{"a-b", "c"}, 0},
		"Policy":   {"A policy finds the SLO that it names beside it.", "p.yaml", "-- p.yaml --\n" + sloPolicy + "-- slo.yaml --\n" + named("shop-availability"), []string{"availability"}, 0},
		"Same":     {"A policy of an SLO's name stands for it.", "p.yaml", "-- p.yaml --\n" + sloPolicy + "---\n" + named("availability") + "---\n" + named("shop-availability"), []string{"availability", "shop-availability"}, 0},
		"Mistaken": {"An SLO that cannot be computed is none.", "slo.yaml", "-- slo.yaml --\n" + named("a", "Occurrences", "Often"), nil, 1},
		"Folder":   {"Also in a folder.", "in/p.yaml", "-- in/p.yaml --\n" + sloPolicy + "-- slo.yaml --\n" + named("shop-availability"), []string{"availability"}, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for _, f := range txtar.Parse([]byte(tc.files)).Files {
				tree[path.Clean(f.Name)] = &fstest.MapFile{Data: f.Data}
			}
			file, problems, err := check.File(tree, tc.file)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range file.Policies {
				names = append(names, p.Name)
			}
			if diff := cmp.Diff(tc.policies, names); diff != "" || len(problems) != tc.errors {
				t.Errorf("%s\nproblems %v, policies (-want +got):\n%s", tc.reason, told(problems), diff)
			}
		})
	}
	if _, _, err := check.File(fstest.MapFS{}, "none.yaml"); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// FuzzFile finds no file whose problems have no place, and none that is read with a
// panic.
func FuzzFile(f *testing.F) {
	f.Add([]byte(lifecycle + sloPolicy + "---\n" + named("shop-availability")))
	f.Add([]byte(named("a", "{query: good}", "{query: 'good{{.win}}'}") + "---\n" + named("b", "Occurrences", "Timeslices")))
	f.Add([]byte("apiVersion: openslo/v1\nkind: SLO\nmetadata: &m {name: *m}\nspec: {<<: *m, objectives: [*m]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems, err := check.File(fstest.MapFS{"slo.yaml": {Data: data}}, "slo.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.File != "slo.yaml" || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("problem without a place: %+v", p)
			}
		}
		for _, p := range file.Policies {
			if p.Name == "" {
				t.Errorf("policy without a name: %+v", p)
			}
		}
	})
}

func TestTheExampleIsAPolicyWithTheSLOInIt(t *testing.T) {
	data, err := os.ReadFile("testdata/openslo/lifecycle.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found, err := check.Tree(t.Context(), shop(map[string]string{"shop/lifecycle.yaml": string(data)}), nil)
	if err != nil || len(found.Problems) > 0 {
		t.Fatal(err, told(found.Problems))
	}
	got := map[string][]v1alpha1.SLO{}
	for _, p := range found.Apps[0].Policies {
		got[p.Name] = p.Spec.SLOs
	}
	window := &v1alpha1.SLOWindow{Rolling: "28d"}
	availability := v1alpha1.SLO{Objective: 99.9, Window: window, Ratio: &v1alpha1.RatioIndicator{
		Provider: v1alpha1.ProviderReference{Name: "prometheus"}, Counter: true,
		Good:  `sum(http_requests_total{app="checkout",code!~"5.."})`,
		Total: `sum(http_requests_total{app="checkout"})`,
	}}
	target := 95.0
	latency := v1alpha1.SLO{Objective: 99, Window: window, Timeslices: &v1alpha1.Timeslices{Duration: "5m", Target: &target},
		Threshold: &v1alpha1.ThresholdIndicator{
			Provider: v1alpha1.ProviderReference{Name: "prometheus"}, Op: "lte", Value: 0.3,
			Query: `histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{app="checkout"}[5m])))`,
		}}
	own, named := availability, latency
	own.Name, named.Name = "availability", "checkout_latency"
	want := map[string][]v1alpha1.SLO{"checkout-slo": {own}, "checkout-latency": {named}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
