// Command godwit moves table rows and objects between stores, and proves that what
// arrived is what left. It joins the command line, the engines and the systems, and
// does nothing else.
package main

import (
	"os"

	"godwit/internal/cli"
	"godwit/internal/connector/all"
	"godwit/internal/engine"
	"godwit/internal/file"
	"godwit/internal/job"
	"godwit/internal/table"
)

// version is set by the linker.
var version string

func main() {
	systems := job.Systems{Registry: all.Registry(), Stores: all.Stores()}
	engines := engine.ByKind{
		job.KindTables: table.Engine{Registry: systems.Registry},
		job.KindFiles:  file.Engine{Stores: systems.Stores},
	}
	os.Exit(cli.Main(cli.Process{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Version: version,
	}, systems, engines))
}
