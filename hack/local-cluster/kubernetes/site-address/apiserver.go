package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

const requestTimeout = 10 * time.Second

// apiServer says where the Kubernetes API is and with which files to speak to it.
type apiServer struct {
	Server               string `json:"apiServer"`
	CertificateAuthority string `json:"certificateAuthority"`
	Certificate          string `json:"certificate"`
	Key                  string `json:"key"`
}

// podLabel reads one label of a pod; "" if the pod does not have it.
func (a apiServer) podLabel(namespace, name, label string) (string, error) {
	client, err := a.client()
	if err != nil {
		return "", err
	}
	address := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s", a.Server, url.PathEscape(namespace), url.PathEscape(name))
	response, err := client.Get(address)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", address, response.Status)
	}
	var pod struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.NewDecoder(response.Body).Decode(&pod); err != nil {
		return "", fmt.Errorf("GET %s: %w", address, err)
	}
	return pod.Metadata.Labels[label], nil
}

func (a apiServer) client() (*http.Client, error) {
	authority, err := os.ReadFile(a.CertificateAuthority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", a.CertificateAuthority)
	}
	pair, err := tls.LoadX509KeyPair(a.Certificate, a.Key)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	return &http.Client{Transport: transport, Timeout: requestTimeout}, nil
}
