// Command site-address is a CNI plugin, the last of the chain: it notes which site a pod's address belongs to.
//
// Every pod labelled multiserver.dev/site=S gets its address into the nft sets "site/S" and "site/NAMESPACE/S"
// before any of its containers runs. Rules that cut one site from another name these sets, so a pod that comes back
// with a new address while its site is cut off is cut off from its first packet on.
//
// An address is taken out of all sets when it is given to the next pod; until then it reaches nobody.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
)

const siteLabel = "multiserver.dev/site"

// networkConfig is what the container runtime sends on standard input.
type networkConfig struct {
	CNIVersion string          `json:"cniVersion"`
	PrevResult json.RawMessage `json:"prevResult"`
	apiServer
}

// errorResult is how a CNI plugin reports a failure; the kubelet shows Msg as an event of the pod and tries again.
type errorResult struct {
	CNIVersion string `json:"cniVersion"`
	Code       uint   `json:"code"`
	Msg        string `json:"msg"`
}

func main() {
	var config networkConfig
	err := json.NewDecoder(os.Stdin).Decode(&config)
	if err == nil {
		err = perform(os.Getenv("CNI_COMMAND"), config, os.Stdout)
	}
	if err != nil {
		json.NewEncoder(os.Stdout).Encode(errorResult{config.CNIVersion, 100, "site-address: " + err.Error()})
		os.Exit(1)
	}
}

func perform(command string, config networkConfig, out io.Writer) error {
	switch command {
	case "ADD":
		if err := noteAddress(config); err != nil {
			return err
		}
		_, err := out.Write(config.PrevResult)
		return err
	case "DEL", "CHECK":
		return nil
	case "VERSION":
		_, err := io.WriteString(out, `{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}`)
		return err
	}
	return fmt.Errorf("unknown CNI_COMMAND %q", command)
}

func noteAddress(config networkConfig) error {
	address, err := podAddress(config.PrevResult)
	if err != nil {
		return err
	}
	namespace, name := podName(os.Getenv("CNI_ARGS"))
	site, err := config.podLabel(namespace, name, siteLabel)
	if err != nil {
		return err
	}
	return moveAddress(address, setsOf(namespace, site))
}

// podAddress finds the IPv4 address which the plugins before this one gave to the pod.
func podAddress(prevResult json.RawMessage) (netip.Addr, error) {
	var result struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(prevResult, &result); err != nil {
		return netip.Addr{}, fmt.Errorf("read prevResult: %w", err)
	}
	for _, ip := range result.IPs {
		if ip.Address.Addr().Is4() {
			return ip.Address.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("prevResult holds no IPv4 address; this plugin must come after one that gives addresses")
}

// podName reads the pod's namespace and name out of CNI_ARGS, "KEY=VALUE;KEY=VALUE".
func podName(args string) (namespace, name string) {
	for _, pair := range strings.Split(args, ";") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "K8S_POD_NAMESPACE":
			namespace = value
		case "K8S_POD_NAME":
			name = value
		}
	}
	return namespace, name
}
