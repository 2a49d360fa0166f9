package hdfs

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"godwit/test/servers/apt"
	"godwit/test/servers/maven"
)

const version = "3.4.2"

//go:embed Server.java
var source []byte

// jars are the cluster and its KDC.
var jars = maven.Set{Name: "hadoop-" + version, Artifacts: []maven.Artifact{
	{Group: "org.apache.hadoop", Name: "hadoop-client-api", Version: version},
	{Group: "org.apache.hadoop", Name: "hadoop-client-runtime", Version: version},
	{Group: "org.apache.hadoop", Name: "hadoop-client-minicluster", Version: version},
	{Group: "org.apache.hadoop", Name: "hadoop-minikdc", Version: version},
}}

// Install makes sure that a cluster can be started: it is fetched, and compiled, on first
// use.
func Install(ctx context.Context) error {
	_, err := classpath(ctx)
	return err
}

// classpath returns where Java finds the cluster, once it is installed.
func classpath(ctx context.Context) (string, error) {
	lib, err := maven.Root(ctx, jars)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(source)
	classes := filepath.Join(apt.Cache(), fmt.Sprintf("hdfs-server-%x", sum[:4]))
	err = apt.Once(classes, func(fresh string) error {
		file := filepath.Join(fresh, "Server.java")
		if err := os.WriteFile(file, source, 0o644); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", filepath.Join(lib, "*"), "-d", fresh, file)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("javac (needs a JDK): %w\n%s", err, tail(out))
		}
		return nil
	})
	return classes + ":" + filepath.Join(lib, "*"), err
}
