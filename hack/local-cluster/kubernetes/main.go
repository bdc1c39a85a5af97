// Command kubernetes is a whole Kubernetes in one binary: the name it is called by chooses the program,
// so that eight programs share one build, one file and, while they run, one copy of their code in memory.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// commands are the programs of Kubernetes itself; all are cobra commands.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	name := filepath.Base(os.Args[0])
	if newCommand, known := commands[name]; known {
		command := newCommand()
		if name == "kubectl" {
			if err := cli.RunNoErrOutput(command); err != nil {
				kubectlutil.CheckErr(err) // prints the error as kubectl does and exits with its code
			}
			return
		}
		os.Exit(cli.Run(command))
	}
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "coredns":
		// Only the plugins imported above exist; they act in this order.
		dnsserver.Directives = []string{"bind", "errors", "health", "ready", "kubernetes", "cache"}
		coremain.Run()
	default:
		fmt.Fprintf(os.Stderr, "%s: not a program of this binary; call it by a link named kube-apiserver, "+
			"kube-controller-manager, kube-scheduler, kube-proxy, kubelet, kubectl, etcd or coredns\n", name)
		os.Exit(2)
	}
}
