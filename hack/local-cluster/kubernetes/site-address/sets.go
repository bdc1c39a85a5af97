package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// table holds the sets; local-cluster makes it in the cluster's network namespace.
const table = "ip multiserver"

const setPrefix = "site/"

// setsOf names the sets that hold a pod's address: none if it belongs to no site.
func setsOf(namespace, site string) []string {
	if site == "" {
		return nil
	}
	return []string{setPrefix + site, setPrefix + namespace + "/" + site}
}

// moveAddress takes the address out of all sites' sets and puts it into these, all at once.
func moveAddress(address netip.Addr, sets []string) error {
	known, err := knownSets()
	if err != nil {
		return err
	}
	return nft(moveCommands(address, known, sets))
}

// moveCommands adds before it deletes, because nft refuses to delete an element that is not there.
func moveCommands(address netip.Addr, known, sets []string) string {
	var commands strings.Builder
	for _, set := range known {
		fmt.Fprintf(&commands, "add element %s %s { %s }\n", table, set, address)
		fmt.Fprintf(&commands, "delete element %s %s { %s }\n", table, set, address)
	}
	for _, set := range sets {
		fmt.Fprintf(&commands, "add set %s %s { type ipv4_addr; }\n", table, set)
		fmt.Fprintf(&commands, "add element %s %s { %s }\n", table, set, address)
	}
	return commands.String()
}

// knownSets lists the sites' sets that exist.
func knownSets() ([]string, error) {
	output, err := exec.Command("nft", "-j", "list", "table", "ip", "multiserver").Output()
	if err != nil {
		return nil, fmt.Errorf("nft list table %s: %w", table, err)
	}
	var listing struct {
		Nftables []struct {
			Set *struct {
				Name string `json:"name"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal(output, &listing); err != nil {
		return nil, fmt.Errorf("nft list table %s: %w", table, err)
	}
	var names []string
	for _, object := range listing.Nftables {
		if object.Set != nil && strings.HasPrefix(object.Set.Name, setPrefix) {
			names = append(names, object.Set.Name)
		}
	}
	return names, nil
}

func nft(commands string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(commands)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, output)
	}
	return nil
}
