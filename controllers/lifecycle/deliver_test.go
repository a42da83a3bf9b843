package lifecycle

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

func TestWhatWasOnlyAskedForIsNotInTheWayOfWhatRuns(t *testing.T) {
	asked, running, old := delivered("aaaaaaa1", []checks{requested}), delivered("bbbbbbb2", nil), delivered("ccccccc3", nil)
	s := &scope{deliveries: []lifecyclev1.KeptnAppVersion{asked, running, old}}
	cases := map[string]struct {
		reason, commit string
		want           bool
	}{
		"Asked":   {"It is under way.", "aaaaaaa1", true},
		"Running": {"Nothing was rolled out since.", "bbbbbbb2", true},
		"Old":     {"To go back to it is another attempt.", "ccccccc3", false},
		"Unknown": {"There is none.", "ddddddd4", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if kav := s.current(tc.commit); (kav != nil) != tc.want || kav != nil && kav.Spec.Commit.SHA != tc.commit {
				t.Errorf("%s\ngot %v", tc.reason, kav)
			}
		})
	}
}

func TestADeliveryIsAskedForOnceWhileItIsUnderWay(t *testing.T) {
	ended := delivered("bbbbbbb2", nil)
	ended.Status.Status = succeeded
	newest := delivered("aaaaaaa1", nil)
	newest.Status.Status = failedState
	s := &scope{deliveries: []lifecyclev1.KeptnAppVersion{newest, delivered("ccccccc3", nil), ended}}
	cases := map[string]struct {
		reason, commit string
		want           bool
	}{
		"Newest":   {"It is what runs, however it ended.", "aaaaaaa1", true},
		"UnderWay": {"It has not ended.", "ccccccc3", true},
		"Ended":    {"Another one was delivered since.", "bbbbbbb2", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := s.deliveryUnderWay(tc.commit) != nil; got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestARecordIsAppliedWithTheRequestThatItServes(t *testing.T) {
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{
		Name: "a", Annotations: map[string]string{DeliverAnnotation: "1234567", lifecyclev1.CancelAnnotation: "somebody else's"},
	}}
	got := recordOnly(kav).Annotations
	if len(got) != 1 || got[DeliverAnnotation] != "1234567" {
		t.Errorf("got %v", got)
	}
}
