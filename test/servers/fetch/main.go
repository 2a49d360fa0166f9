// Command fetch brings what tests need into their cache, all of it side by side: servers,
// readers of files and tools of others. Tests fetch what is missing themselves, one thing
// after another, so what fails here is told and tried again by the first test that needs
// it. What soaks, benchmarks and test/web need besides they fetch on first use.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"godwit/test/judge"
	"godwit/test/servers/hdfs"
	"godwit/test/servers/mariadb"
	"godwit/test/servers/mysql"
	"godwit/test/servers/postgres"
	"godwit/test/servers/rclone"
	"godwit/test/servers/s3"
	"godwit/test/servers/toolkit"
)

// thing is one thing to fetch.
type thing struct {
	name  string
	fetch func(context.Context) error
}

func things() []thing {
	all := []thing{
		{"MySQL", only(func(context.Context) (any, error) { return mysql.Make() })},
		{"MariaDB", only(func(context.Context) (any, error) { return mariadb.Make() })},
		{"HDFS", hdfs.Install},
		{"kinit", only(func(context.Context) (string, error) { return hdfs.InstallKinit() })},
		{"MinIO", only(func(context.Context) (string, error) { return s3.Install("minio") })},
		{"versitygw", only(func(context.Context) (string, error) { return s3.Install("versitygw") })},
		{"rclone", only(rclone.Install)},
		{"DuckDB", only(judge.Install)},
		{"pyarrow", only(judge.InstallArrow)},
		{"Percona Toolkit", only(func(context.Context) (string, error) { return toolkit.Install() })},
	}
	versions := postgres.Versions()
	for _, major := range []string{versions[0], postgres.Series, versions[len(versions)-1]} {
		all = append(all, thing{"PostgreSQL " + major, func(context.Context) error { return postgres.Install(major) }})
	}
	return all
}

// only leaves out what is fetched.
func only[T any](install func(context.Context) (T, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := install(ctx)
		return err
	}
}

func main() {
	begin := time.Now()
	var all sync.WaitGroup
	for _, t := range things() {
		all.Go(func() {
			if err := t.fetch(context.Background()); err != nil {
				fmt.Fprintf(os.Stderr, "fetch %s: %v\n", t.name, err)
			} else if took := time.Since(begin); took > 10*time.Second { // it was not there
				fmt.Fprintf(os.Stderr, "fetched %s, after %v\n", t.name, took.Round(time.Second))
			}
		})
	}
	all.Wait()
}
