// The kubectl that the tests drive, built from its Go module where the machine has none.
package main

import (
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	command := cmd.NewDefaultKubectlCommand()
	if err := cli.RunNoErrOutput(command); err != nil {
		// Prints what is wrong the way kubectl does, and exits with kubectl's code.
		util.CheckErr(err)
	}
}
