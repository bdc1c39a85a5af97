package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestPodAddressIsTheIPv4One(t *testing.T) {
	result := json.RawMessage(`{"ips":[{"address":"fd00::5/64"},{"address":"10.219.7.4/24"}]}`)
	address, err := podAddress(result)
	if err != nil || address != netip.MustParseAddr("10.219.7.4") {
		t.Fatalf("got %v, %v", address, err)
	}
}

func TestWithoutAddressThePluginIsAtTheWrongPlace(t *testing.T) {
	for _, result := range []string{`{}`, `{"ips":[]}`} {
		if _, err := podAddress(json.RawMessage(result)); err == nil || !strings.Contains(err.Error(), "must come after") {
			t.Errorf("%s: got error %v", result, err)
		}
	}
}

func TestPodNameIsReadWhereverItStands(t *testing.T) {
	namespace, name := podName("IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME=c-berlin-0;K8S_POD_UID=1")
	if namespace != "lab" || name != "c-berlin-0" {
		t.Fatalf("got %q, %q", namespace, name)
	}
}

func TestAPodBelongsToItsSiteEverywhereAndInItsNamespace(t *testing.T) {
	if got := strings.Join(setsOf("lab", "berlin"), " "); got != "site/berlin site/lab/berlin" {
		t.Errorf("got %q", got)
	}
	if got := setsOf("lab", ""); got != nil {
		t.Errorf("a pod without a site is in %q", got)
	}
}

func TestAnAddressLeavesEverySetBeforeItEntersItsOwn(t *testing.T) {
	got := moveCommands(netip.MustParseAddr("10.219.7.4"), []string{"site/old"}, []string{"site/new"})
	want := `add element ip multiserver site/old { 10.219.7.4 }
delete element ip multiserver site/old { 10.219.7.4 }
add set ip multiserver site/new { type ipv4_addr; }
add element ip multiserver site/new { 10.219.7.4 }
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestOnlyKnownCommandsAreAnswered(t *testing.T) {
	var out strings.Builder
	if err := perform("VERSION", networkConfig{}, &out); err != nil || !strings.Contains(out.String(), "1.0.0") {
		t.Errorf("VERSION: %q, %v", out.String(), err)
	}
	if err := perform("STATUS", networkConfig{}, &out); err == nil {
		t.Error("an unknown command was accepted")
	}
}
