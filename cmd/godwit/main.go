// Command godwit moves table rows between stores, as they are and as they change,
// exactly once. It joins the command line, the engine and the connectors, and
// does nothing else.
package main

import (
	"os"

	"godwit/internal/cli"
	"godwit/internal/connector/all"
	"godwit/internal/table"
)

// version is set by the linker.
var version string

func main() {
	registry := all.Registry()
	os.Exit(cli.Main(cli.Process{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Version: version,
	}, registry, table.Engine{Registry: registry}))
}
