// Command ipfs is Kubo's own command line and daemon, built from the release pinned in go.mod for machines
// that cannot fetch the released binary. It adds nothing to it.
package main

import (
	"os"

	"github.com/ipfs/kubo/cmd/ipfs/kubo"
)

func main() {
	os.Exit(kubo.Start(kubo.BuildDefaultEnv))
}
