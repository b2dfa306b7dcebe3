// The DNS server of Kubernetes for tests on machines that have none: CoreDNS with the few plugins
// that they need. It ends when its standard input does, so that it never outlives who started it.
package main

import (
	"io"
	"os"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

// The order is CoreDNS's own.
func init() { dnsserver.Directives = []string{"bind", "errors", "kubernetes"} }

func main() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	coremain.Run()
}
