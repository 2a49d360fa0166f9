package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"godwit/test/servers/gomod"
	"godwit/test/servers/rclone"
	"godwit/test/servers/s3"
)

// place is one end of a transfer: a folder, or a bucket of the gateway.
type place struct{ dir, bucket string }

// rival is a program that moves objects, in one setting.
type rival struct {
	label   string // of its row: the program's name, and what is set
	program string
	setting string // parallelism, for the page
	// tuned: not as it is without options. Left out where the setting has no
	// meaning, which is with large objects.
	tuned bool
	// args are what makes it copy, or bring up to date; nil: it cannot.
	args func(g *s3.Server, from, to place, again bool) []string
}

// program is what runs rivals.
type program struct {
	built  gomod.Built
	absent string // why it is not there; "" when it is
}

// juicefsTags leave out what sync between folders and S3 does not need.
const juicefsTags = "nogateway,nowebdav,nocos,nobos,nohdfs,noibmcos,noobs,nooss,noqingstor,nosftp,noswift,noazure,nogs,noufile,nob2,nonfs,nodragonfly," +
	"nosqlite,nomysql,nopg,notikv,nobadger,noetcd,noceph,nogluster,nocifs,noqiniu"

// builds has how each program of others is had.
func builds() map[string]func(context.Context) (gomod.Built, error) {
	build := func(p gomod.Program) func(context.Context) (gomod.Built, error) {
		p.Dir = "test/bench/rivals/" + p.Name
		return func(ctx context.Context) (gomod.Built, error) { return gomod.Build(ctx, p) }
	}
	const s5cmd, juicefs, mc = "github.com/peak/s5cmd/v2", "github.com/juicedata/juicefs", "github.com/minio/mc"
	return map[string]func(context.Context) (gomod.Built, error){
		"s5cmd":   build(gomod.Program{Name: "s5cmd", Package: s5cmd, Module: s5cmd}),
		"juicefs": build(gomod.Program{Name: "juicefs", Package: juicefs, Module: juicefs, Tags: strings.Split(juicefsTags, ","), Cgo: true}),
		"mc":      build(gomod.Program{Name: "mc", Package: mc, Module: mc}),
		"rclone":  rclone.Install,
		"cp": func(context.Context) (gomod.Built, error) {
			path, err := exec.LookPath("cp")
			return gomod.Built{Path: path, Version: "of this machine"}, err
		},
	}
}

func rivals() []rival {
	s5 := func(workers string) func(*s3.Server, place, place, bool) []string {
		return func(g *s3.Server, from, to place, again bool) []string {
			if from.bucket == "" && to.bucket == "" {
				return nil
			}
			do := "cp"
			if again {
				do = "sync"
			}
			return []string{"--endpoint-url", g.Endpoint, "--log", "error", "--numworkers", workers, do, s5Place(from, "*"), s5Place(to, "")}
		}
	}
	juice := func(threads string) func(*s3.Server, place, place, bool) []string {
		return func(g *s3.Server, from, to place, _ bool) []string {
			return []string{"sync", "--no-https", "--threads", threads, juicePlace(g, from), juicePlace(g, to)}
		}
	}
	clone := func(options ...string) func(*s3.Server, place, place, bool) []string {
		return func(_ *s3.Server, from, to place, _ bool) []string {
			return append([]string{"copy", clonePlace(from), clonePlace(to)}, options...)
		}
	}
	return []rival{
		{label: "s5cmd", program: "s5cmd", setting: "`cp`, `sync` for nothing to do; 256 workers, its default", args: s5("256")},
		{label: "s5cmd-64", program: "s5cmd", setting: "`--numworkers 64`", tuned: true, args: s5("64")},
		{label: "juicefs", program: "juicefs", setting: "`sync`; 10 threads, its default", args: juice("10")},
		{label: "juicefs-32", program: "juicefs", setting: "`sync --threads 32`", tuned: true, args: juice("32")},
		{label: "rclone", program: "rclone", setting: "`copy`; 4 transfers and 8 checkers, its default; built with local folders and S3 as its only stores", args: clone()},
		{label: "rclone-32", program: "rclone", setting: "`copy --transfers 32 --checkers 32`", tuned: true, args: clone("--transfers", "32", "--checkers", "32")},
		{label: "mc", program: "mc", setting: "`mirror`; parallelism adapted by itself, its default", args: func(_ *s3.Server, from, to place, _ bool) []string {
			return []string{"--quiet", "mirror", mcPlace(from), mcPlace(to)}
		}},
		{label: floor, program: "cp", setting: "one file at a time", args: func(_ *s3.Server, from, to place, _ bool) []string {
			if from.bucket+to.bucket != "" {
				return nil
			}
			return []string{"-r", from.dir + "/.", to.dir}
		}},
	}
}

func s5Place(p place, all string) string {
	if p.bucket == "" {
		return p.dir + "/"
	}
	return "s3://" + p.bucket + "/" + all
}

func juicePlace(g *s3.Server, p place) string {
	if p.bucket == "" {
		return p.dir + "/"
	}
	return "minio://" + g.AccessKey + ":" + g.SecretKey + "@" + strings.TrimPrefix(g.Endpoint, "http://") + "/" + p.bucket + "/"
}

func clonePlace(p place) string {
	if p.bucket == "" {
		return p.dir
	}
	return "gateway:" + p.bucket
}

func mcPlace(p place) string {
	if p.bucket == "" {
		return p.dir
	}
	return "gateway/" + p.bucket
}

// environment has what the rivals know the gateway by, and nothing of whoever
// runs the benchmark.
func environment(g *s3.Server, dir string) []string {
	host := strings.TrimPrefix(g.Endpoint, "http://")
	return append(os.Environ(),
		"AWS_ACCESS_KEY_ID="+g.AccessKey, "AWS_SECRET_ACCESS_KEY="+g.SecretKey, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"RCLONE_CONFIG="+os.DevNull, "RCLONE_CONFIG_GATEWAY_TYPE=s3", "RCLONE_CONFIG_GATEWAY_PROVIDER=Other", "RCLONE_CONFIG_GATEWAY_REGION=us-east-1",
		"RCLONE_CONFIG_GATEWAY_FORCE_PATH_STYLE=true", "RCLONE_CONFIG_GATEWAY_ENDPOINT="+g.Endpoint,
		"RCLONE_CONFIG_GATEWAY_ACCESS_KEY_ID="+g.AccessKey, "RCLONE_CONFIG_GATEWAY_SECRET_ACCESS_KEY="+g.SecretKey,
		"MC_CONFIG_DIR="+filepath.Join(dir, "mc"), "MC_HOST_gateway=http://"+g.AccessKey+":"+g.SecretKey+"@"+host,
		"BENCH_KEY="+g.AccessKey, "BENCH_SECRET="+g.SecretKey, "HOME="+dir,
	)
}

// fileJob is the job file that has godwit move what is at from to to.
func fileJob(g *s3.Server, from, to place) string {
	end := func(p place) string {
		if p.bucket == "" {
			return fmt.Sprintf("{url: %q}", "file://"+p.dir)
		}
		return fmt.Sprintf("{s3: {endpoint: %q, bucket: %s, region: us-east-1, access_key: \"${env:BENCH_KEY}\", secret_key: \"${env:BENCH_SECRET}\"}}", g.Endpoint, p.bucket)
	}
	return "name: bench\nkind: files\nsource: " + end(from) + "\nsink: " + end(to) + "\n"
}
