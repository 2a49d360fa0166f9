// Command rclone is rclone with local folders, S3 and the commands that tests
// and benchmarks need: its own source, in a module of its own, so that none of
// it becomes part of the product. All 70 of its stores would take half an hour
// to build on a small machine.
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/copy"
	_ "github.com/rclone/rclone/cmd/lsf"
	_ "github.com/rclone/rclone/cmd/sync"
	_ "github.com/rclone/rclone/cmd/version"
)

func main() { cmd.Main() }
