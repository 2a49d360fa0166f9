package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// call is a process to be measured.
type call struct{ cmd *exec.Cmd }

// sample is one measurement.
type sample struct {
	wall   time.Duration // from start to end, and until all files are on the disk where that counts
	ended  time.Duration // from start to end of the process alone
	cpu    time.Duration // of the process and those it started
	server time.Duration // CPU the server took meanwhile
	rss    int64         // the greatest sum over the process and those it started, bytes
	bytes  int64         // written
	stdout []byte
}

// sample runs c; then written brings what is below the output to the disk, within
// the time, and returns its size.
func (w *workload) sample(c call, written func() (int64, error)) (sample, error) {
	var stdout, stderr bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &stdout, &stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	before, err := cpuOfAll(w.servers())
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if err := c.cmd.Start(); err != nil {
		return sample{}, err
	}
	peak := watch(c.cmd.Process.Pid)
	failed := c.cmd.Wait()
	rss := peak()
	if failed != nil {
		return sample{}, fmt.Errorf("%w\n%s\n%s", failed, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	s := sample{ended: time.Since(begin), rss: rss, stdout: stdout.Bytes()}
	if s.bytes, err = written(); err != nil {
		return sample{}, err
	}
	s.wall = time.Since(begin)
	s.cpu = c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
	after, err := cpuOfAll(w.servers())
	s.server = after - before
	return s, err
}

// mean is one sample for several runs: means, and the greatest memory.
func mean(runs []sample) sample {
	m := runs[0]
	for _, s := range runs[1:] {
		m.wall, m.ended, m.cpu, m.server = m.wall+s.wall, m.ended+s.ended, m.cpu+s.cpu, m.server+s.server
		m.rss = max(m.rss, s.rss)
	}
	n := time.Duration(len(runs))
	m.wall, m.ended, m.cpu, m.server = m.wall/n, m.ended/n, m.cpu/n, m.server/n
	return m
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// syncAll brings every file and folder below dir to the disk, so that nobody
// gains by leaving it out, and returns the size of the files.
func syncAll(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return f.Sync()
	})
	return total, err
}

// watch follows the memory of a process and its children; the function it
// returns, called after the process has ended, gives the greatest sum seen. The
// kernel's own high-water marks are read, so that short peaks are not missed.
func watch(pid int) func() int64 {
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var most int64
		for {
			most = max(most, treeRSS(pid))
			select {
			case <-stop:
				peak <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 { close(stop); return <-peak }
}

func treeRSS(pid int) int64 {
	var total int64
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // the kernel's own text
			total += kib << 10
		}
	}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range children {
		list, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(f); err == nil {
				total += treeRSS(child)
			}
		}
	}
	return total
}

// cpuOfAll is the CPU time that processes have taken since they began, with those they
// started.
func cpuOfAll(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		own, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += own + ended(pid) + cpuOfChildren(pid)
	}
	return sum, nil
}

// cpuOfChildren is that of the processes that live and were started by one.
func cpuOfChildren(pid int) (sum time.Duration) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range lists {
		list, _ := os.ReadFile(path)
		for _, f := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(f); err == nil {
				if took, err := cpuOf(child); err == nil {
					sum += took + ended(child) + cpuOfChildren(child)
				}
			}
		}
	}
	return sum
}

// ended is that of the processes that one has started and that have ended.
func ended(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0
	}
	user, _ := strconv.ParseInt(f[13], 10, 64) // the kernel's own text
	system, _ := strconv.ParseInt(f[14], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}

// cpuOf is the CPU time a process has taken since it began.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	var ticks int64
	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil // USER_HZ is 100 on every Linux
}
