package webhook_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestADeliveryIsTakenOnce(t *testing.T) {
	main := push("refs/heads/main")
	anything := `{"repository":"https://git.example.com/acme/shop"}`
	anonymous := []string{"X-Gitea-Event", "", "Authorization", "Bearer t0ken"}
	cases := map[string]struct {
		reason        string
		body, then    string
		first, second []string
		path          string
		after         time.Duration
		want          int
	}{
		"Again":     {"A forge repeats what it holds for lost.", main, main, []string{"X-Gitea-Delivery", "1"}, []string{"X-Gitea-Delivery", "1"}, "/hooks/git/shop", time.Minute, 1},
		"Next":      {"Another delivery may say the same.", main, main, []string{"X-Gitea-Delivery", "1"}, []string{"X-Gitea-Delivery", "2"}, "/hooks/git/shop", time.Minute, 2},
		"Later":     {"What is long past may come again.", main, main, []string{"X-Gitea-Delivery", "1"}, []string{"X-Gitea-Delivery", "1"}, "/hooks/git/shop", 10 * time.Minute, 2},
		"Body":      {"Without an id it is the body.", main, main, nil, nil, "/hooks/git/shop", time.Minute, 1},
		"OtherBody": {"Another body is another push.", main, strings.ReplaceAll(main, other, sha), nil, nil, "/hooks/git/shop", time.Minute, 2},
		"Unnamed":   {"What names no commit is the same of each push.", anything, anything, anonymous, anonymous, "/hooks/git/shop", time.Second, 2},
		"Everyones": {"One hook's deliveries are not known to another's.", main, main, []string{"X-Gitea-Delivery", "1"}, []string{"X-Gitea-Delivery", "1"}, "/hooks/git", time.Minute, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, source("shop", "prod", "https://git.example.com/acme/shop", nil))
			if got := w.send("/hooks/git/shop", tc.body, tc.first...); got.Code != 202 {
				t.Fatalf("the first is answered %d %s", got.Code, got.Body)
			}
			w.now = w.now.Add(tc.after)
			got := w.send(tc.path, tc.then, tc.second...)
			if len(w.woken) != tc.want {
				t.Errorf("%s\nit was woken %d times", tc.reason, len(w.woken))
			}
			if repeated := got.Code == 200 && strings.Contains(got.Body.String(), "it was delivered before"); repeated != (tc.want == 1) {
				t.Errorf("the second is answered %d %s", got.Code, got.Body)
			}
		})
	}
}

func TestWhatCouldNotBeWokenIsWokenWhenTheForgeSendsItAgain(t *testing.T) {
	w := newWorld(t, source("shop", "prod", "https://git.example.com/acme/shop", nil), source("shop", "stage", "https://git.example.com/acme/shop", nil))
	w.refuse = "prod"
	got := w.send("/hooks/git/shop", push("refs/heads/main"), "X-Gitea-Delivery", "1")
	if got.Code != 503 || got.Header().Get("Retry-After") == "" || got.Body.String() != "what the event concerns cannot be woken: try again\n" {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	if diff := cmp.Diff([]string{"shop/stage"}, w.woken); diff != "" {
		t.Errorf("one that cannot be woken keeps others from it (-want +got):\n%s", diff)
	}
	w.refuse = ""
	if got := w.send("/hooks/git/shop", push("refs/heads/main"), "X-Gitea-Delivery", "1"); got.Code != 202 {
		t.Errorf("the second delivery is answered %d %s", got.Code, got.Body)
	}
}

func TestADeliveryThatWokeNobodyCountsWhenItIsSentAgain(t *testing.T) {
	elsewhere := source("shop", "prod", "https://git.example.com/acme/old", nil)
	w := newWorld(t, elsewhere)
	if got := w.send("/hooks/git/shop", push("refs/heads/main"), "X-Gitea-Delivery", "1"); !strings.Contains(got.Body.String(), "no GitSource has this repository") {
		t.Errorf("the first is answered %d %s", got.Code, got.Body)
	}
	elsewhere.Spec.URL = "https://git.example.com/acme/shop"
	if err := w.Update(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	if got := w.send("/hooks/git/shop", push("refs/heads/main"), "X-Gitea-Delivery", "1"); got.Code != 202 {
		t.Errorf("once the URL is right it is answered %d %s", got.Code, got.Body)
	}
}

func TestOnlySoManyDeliveriesAreRemembered(t *testing.T) {
	w := newWorld(t, source("shop", "prod", "https://git.example.com/acme/shop", nil))
	deliver := func(id int) string {
		w.now = w.now.Add(time.Second / 50) // as often as an address may send
		return w.send("/hooks/git", push("refs/heads/main"), "X-Gitea-Delivery", fmt.Sprint(id)).Body.String()
	}
	const most = 8192
	for id := range most {
		if got := deliver(id); !strings.Contains(got, "shop/prod") {
			t.Fatalf("delivery %d: %s", id, got)
		}
	}
	if got := deliver(0); !strings.Contains(got, "delivered before") {
		t.Errorf("of %d the first is forgotten: %s", most, got)
	}
	deliver(most)
	if got := deliver(0); strings.Contains(got, "delivered before") {
		t.Errorf("more than %d are remembered: %s", most, got)
	}
}
