package main

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// renameVeth is a CNI plugin, chained after ptp. It gives the host's end of a pod's veth pair the name by which Felix
// knows the pod: the prefix and the first 11 hexadecimal digits of sha1("namespace.pod").
func renameVeth() error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	switch os.Getenv("CNI_COMMAND") {
	case "VERSION":
		fmt.Println(`{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}`)
		return nil
	case "ADD":
		return addVeth(input)
	}
	// DEL and CHECK: ptp does them, from the pod's end.
	return nil
}

type vethResult struct {
	Interfaces []map[string]any `json:"interfaces"`
	IPs        []struct {
		Address string `json:"address"`
	} `json:"ips"`
}

func addVeth(input []byte) error {
	var config struct {
		PrevResult json.RawMessage `json:"prevResult"`
	}
	if err := json.Unmarshal(input, &config); err != nil {
		return err
	}
	var result vethResult
	if err := json.Unmarshal(config.PrevResult, &result); err != nil {
		return err
	}
	if len(result.Interfaces) == 0 || len(result.IPs) == 0 {
		return fmt.Errorf("ptp named no interface or address")
	}
	arguments := map[string]string{}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		key, value, _ := strings.Cut(pair, "=")
		arguments[key] = value
	}
	digest := sha1.Sum([]byte(arguments["K8S_POD_NAMESPACE"] + "." + arguments["K8S_POD_NAME"]))
	name := vethPrefix + hex.EncodeToString(digest[:])[:11]
	old, _ := result.Interfaces[0]["name"].(string)
	address, _, _ := strings.Cut(result.IPs[0].Address, "/")
	err := host(
		fmt.Sprintf("link set %s down", old),
		fmt.Sprintf("link set %s name %s", old, name),
		fmt.Sprintf("link set %s up", name),
		// It went when the interface was down.
		fmt.Sprintf("route replace %s/32 dev %s scope link", address, name),
	)
	if err != nil {
		return err
	}
	var whole map[string]any
	if err := json.Unmarshal(config.PrevResult, &whole); err != nil {
		return err
	}
	result.Interfaces[0]["name"] = name
	whole["interfaces"] = result.Interfaces
	return json.NewEncoder(os.Stdout).Encode(whole)
}

// Felix's own default for what it takes for a pod's interface.
const vethPrefix = "cali"
