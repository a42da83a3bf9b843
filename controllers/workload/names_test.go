package workload_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keptn/gitops/controllers/workload"
)

func TestNamesFitIntoKubernetes(t *testing.T) {
	long := strings.Repeat("a", 200)
	cases := map[string]struct {
		reason string
		parts  []string
		want   string
	}{
		"Short":     {"Parts are joined.", []string{"checkout", "0123456", "cafe"}, "checkout-0123456-cafe"},
		"Cases":     {"Names are lower case, without underscores.", []string{"Post_Eval", "SLO"}, "post-eval-slo"},
		"Keptn":     {"It is what Keptn's tests expect of a version.", []string{"simple", "0.4.0_1"}, "simple-0.4.0-1"},
		"Long":      {"The first part gives way.", []string{long, "b", "hash"}, long + "-b-hash"},
		"TooLong":   {"It keeps 80 characters at least, then the next one gives way.", []string{long, long, "hash"}, strings.Repeat("a", 80) + "-" + strings.Repeat("a", 253-80-2-4) + "-hash"},
		"Dash":      {"A part does not end in a dash where it was cut.", []string{strings.Repeat("a", 99) + "-" + strings.Repeat("b", 99), strings.Repeat("c", 148), "hash"}, strings.Repeat("a", 99) + "-" + strings.Repeat("c", 148) + "-hash"},
		"FourParts": {"Four parts of 80 characters do not fit.", []string{long, long, long, long}, strings.Repeat("a", 40) + "-" + strings.Repeat("a", 40) + "-" + strings.Repeat("a", 40) + "-" + strings.Repeat("a", 253-3*41)},
		"Invalid":   {"A version need not be a name.", []string{"app", "1.0+build/5 β"}, "app-1.0-build-5"},
		"Dots":      {"Between two dots a name has letters or digits at both ends.", []string{"app.", ".1..2.-3.-"}, "app.1.2.3"},
		"Ends":      {"A name begins and ends with a letter or a digit.", []string{"-app", "1.0."}, "app-1.0"},
		"Nothing":   {"Something has to be there.", []string{"β"}, workload.Digest(10, "β")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := workload.ResourceName(tc.parts...)
			if got != tc.want {
				t.Errorf("%s\ngot %q (%d), want %q", tc.reason, got, len(got), tc.want)
			}
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 {
				t.Errorf("%s\n%q is no name: %v", tc.reason, got, problems)
			}
		})
	}
}

func FuzzNamesFitIntoKubernetes(f *testing.F) {
	f.Add("app", "workload", "1.0")
	f.Add("-.-", strings.Repeat("a.-", 100), "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, name := range []string{workload.ResourceName(a), workload.ResourceName(a, b, c), workload.ResourceName(a, b, c, "cafe")} {
			if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
				t.Errorf("%q is no name: %v", name, problems)
			}
		}
	})
}

func TestAnAppListsItsWorkloadsWithoutItsName(t *testing.T) {
	long := strings.Repeat("a", 120)
	cases := map[string]struct {
		reason    string
		app, name string
		want      string
	}{
		"Plain":       {"This is what names are made of.", "shop", "shop-cart", "cart"},
		"Repeated":    {"Only the first one is the app's.", "podtato-head", "podtato-head-podtato-head-entry", "podtato-head-entry"},
		"OtherPrefix": {"A workload of another name has it in full.", "shop", "shopping-cart", "shopping-cart"},
		"OnlyApp":     {"A name is never empty.", "shop", "shop-", "shop-"},
		"Shortened":   {"A long app was shortened, and is found all the same.", long, workload.ResourceName(long, strings.Repeat("w", 150)), strings.Repeat("w", 150)},
		"BothCut":     {"Of a long workload its beginning is left.", long, workload.ResourceName(long, strings.Repeat("w", 250)), strings.Repeat("w", 253-80-1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := workload.WithoutApp(tc.app, tc.name)
			if got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
			if back := workload.ResourceName(tc.app, got); got != tc.name && back != tc.name {
				t.Errorf("%s\n%q leads to %q, not to %q", tc.reason, got, back, tc.name)
			}
		})
	}
}

func TestADigestTellsPartsApart(t *testing.T) {
	if workload.Digest(8, "ab", "c") == workload.Digest(8, "a", "bc") {
		t.Error("parts ran together")
	}
	if first, again := workload.Digest(8, "ab", "c"), workload.Digest(8, "ab", "c"); first != again || len(first) != 8 {
		t.Error("the same parts do not give the same digits")
	}
}
