// Command opa is the Open Policy Agent's own command line, built from the release pinned in go.mod for
// machines that cannot fetch the released binary. It adds nothing to it.
package main

import (
	"errors"
	"os"

	"github.com/open-policy-agent/opa/cmd"
)

func main() {
	err := cmd.RootCommand.Execute()
	if err == nil {
		return
	}
	code := 1
	if exit, ok := errors.AsType[*cmd.ExitError](err); ok {
		code = exit.Exit
	}
	os.Exit(code)
}
