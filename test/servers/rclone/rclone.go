// Package rclone gives tests the real rclone, as an oracle for what filters mean
// and as a rival in benchmarks.
package rclone

import (
	"context"

	"godwit/test/servers/gomod"
)

// Install returns rclone in the version that build/go.mod pins, with local
// folders and S3 as its only stores. The first time it is built, which takes
// some minutes.
func Install(ctx context.Context) (gomod.Built, error) {
	return gomod.Build(ctx, gomod.Program{
		Name: "rclone", Dir: "test/servers/rclone/build", Package: ".", Module: "github.com/rclone/rclone",
	})
}
