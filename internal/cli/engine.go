// Package cli is the command line: it reads job files, asks an Engine to act,
// and shows what happens on terminals, in logs and as JSON lines.
package cli

import "godwit/internal/engine"

// Engine is what acts; its contract is engine.Engine's.
type Engine = engine.Engine

// Options are engine.Options.
type Options = engine.Options
