package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// What the pods of a test run: this program is also their image.
const (
	podImage = "windlass.test/pod:local"
	podPort  = "8080"
	// What fetch prints when nothing came.
	unreachable = "unreachable"
	// In an idle cluster an answer takes milliseconds. What a policy stops never comes.
	fetchLimit = 2 * time.Second
)

// serve answers every request with the pod's name.
func serve([]string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	return http.ListenAndServe(":"+podPort, http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(response, name)
	}))
}

// fetch asks a URL once, over a connection of its own, and prints the answer or `unreachable`: then it is sure that
// nothing came, which an error of another kind would not say.
func fetch(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("wanted: URL")
	}
	client := http.Client{Timeout: fetchLimit}
	response, err := client.Get(arguments[0])
	var resolving *net.DNSError
	if errors.As(err, &resolving) {
		return err
	}
	if err != nil {
		fmt.Println(unreachable)
		return nil
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
