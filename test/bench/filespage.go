package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func seconds(s sample) float64      { return s.wall.Seconds() }
func secondsAlone(s sample) float64 { return s.ended.Seconds() }
func mebibytes(s sample) float64    { return float64(s.rss) / (1 << 20) }

// filesPart is what the page says of file jobs.
func (o *objects) filesPart(all []workload) string {
	var p bytes.Buffer
	fmt.Fprintf(&p, `## File jobs

%d objects of 4 KiB in folders of %d, and %d objects of 100 MiB, of random bytes. S3 is versitygw on loopback and on one folder, one process
for everybody; it calls no fsync, for anybody, and the time is until the command ends. From folder to folder the time is until the contents are
on the disk: the command, then `+"`sync`"+` of that disk, which costs least those who fsync themselves (godwit does); what the command alone took stands
beside it. The target is emptied before each run. Where there is nothing to do, turns of godwit and juicefs repeat their run so that each is
measured for %.0f s or more over all rounds, and a run counts only if no object was written again. godwit keeps nothing between runs.

`, o.small.objects, perFolder, o.large.objects, o.steady.Seconds())
	o.machine(&p)
	fmt.Fprintf(&p, "Load of the machine at the end: %s. Versions: %s.\n\nSettings: %s.\n\n", load(), o.versions(), settings(all))
	goalTable(&p, fileGoals(), all)
	for i := range all {
		fileTable(&p, &all[i])
	}
	return p.String()
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:min(3, len(strings.Fields(string(text))))], ", ")
}

// versions names every program, and those that are not there.
func (o *objects) versions() string {
	list := []string{"versitygw " + moduleVersion(o.gateway.Pid(), "github.com/versity/versitygw")}
	for _, name := range slices.Sorted(maps.Keys(o.programs)) {
		if p := o.programs[name]; p.absent != "" {
			list = append(list, name+": not here")
		} else {
			list = append(list, name+" "+p.built.Version)
		}
	}
	return strings.Join(list, "; ")
}

// moduleVersion is the version of a module in the program of a process.
func moduleVersion(pid int, path string) string {
	info, err := buildinfo.ReadFile(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "of unknown version"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path {
			return m.Version
		}
	}
	return "of unknown version"
}

// settings are those of every contestant, once.
func settings(all []workload) string {
	list := []string{"godwit: defaults, parallelism adapted by itself"}
	for _, r := range rivals() {
		for _, w := range all {
			if len(w.samples[r.label]) > 0 {
				list = append(list, r.label+": "+r.setting)
				break
			}
		}
	}
	return strings.Join(list, "; ")
}

// fastest is the rival with the least median, cp aside: it is a floor, and has
// goals of its own.
func fastest(w *workload, of func(sample) float64) (label string, value float64) {
	for _, c := range w.contestants {
		if !c.rival || c.name == floor || len(w.samples[c.name]) == 0 {
			continue
		}
		if m := median(w.samples[c.name], of); label == "" || m < value {
			label, value = c.name, m
		}
	}
	return label, value
}

// labels are the rows of a workload: the contestants, the first one twice.
func labels(w *workload) []string {
	var all []string
	for i, c := range w.contestants {
		all = append(all, c.name)
		if i == 0 {
			all = append(all, c.name+" "+control)
		}
	}
	return all
}

func fileTable(p io.Writer, w *workload) {
	fmt.Fprintf(p, "\n### %s\n\n", w.title)
	if w.about != "" {
		fmt.Fprintf(p, "%s\n\n", w.about)
	}
	alone, line := "", ""
	if w.local {
		alone, line = " command alone, s |", "---|"
	}
	rate := "objects/s"
	if w.bytes/int64(w.count) >= 1<<20 {
		rate = "MiB/s"
	}
	fmt.Fprintf(p, "| run | s (least–most) |%s %s | the fastest rival's time is | CPU s | RSS MiB |\n|---|---|%s---|---|---|---|\n", alone, rate, line)
	_, best := fastest(w, seconds)
	for _, label := range labels(w) {
		all := w.samples[label]
		if len(all) == 0 {
			continue
		}
		wall := median(all, seconds)
		least, most := extremes(all)
		if w.local {
			alone = fmt.Sprintf(" %.2f |", median(all, secondsAlone))
		}
		amount := fmt.Sprintf("%.0f", float64(w.count)/wall)
		if rate == "MiB/s" {
			amount = fmt.Sprintf("%.0f", float64(w.bytes)/wall/(1<<20))
		}
		ratio := "–" // no rival ran
		if best > 0 {
			ratio = fmt.Sprintf("%.2f×", best/wall)
		}
		fmt.Fprintf(p, "| %s | %.2f (%.2f–%.2f) |%s %s | %s | %.2f + %.2f | %.0f |\n", label, wall, least, most, alone, amount, ratio,
			median(all, func(s sample) float64 { return s.cpu.Seconds() }), median(all, func(s sample) float64 { return s.server.Seconds() }), median(all, mebibytes))
	}
	if low, high := band(w); low > 0 {
		fmt.Fprintf(p, "\nA/A: in a round the second turn of %s took %.2f to %.2f times the first.\n", w.contestants[0].name, low, high)
	}
	for _, label := range slices.Sorted(maps.Keys(w.failed)) {
		fmt.Fprintf(p, "\n%s is not in the table: %s.\n", label, brief(w.failed[label]))
	}
}

// brief is the first 200 characters of a reason, on one line.
func brief(reason string) string {
	r := []rune(strings.Join(strings.Fields(reason), " "))
	return strings.TrimRight(string(r[:min(len(r), 200)]), ".")
}

// band is by how much the first contestant differs from itself: the least and
// the greatest of its second turn's time over the first's, in one round; zero
// when it did not run.
func band(w *workload) (low, high float64) {
	first := w.contestants[0].name
	a, again := w.samples[first], w.samples[first+" "+control]
	for i := range min(len(a), len(again)) {
		r := again[i].wall.Seconds() / a[i].wall.Seconds()
		if i == 0 {
			low, high = r, r
		}
		low, high = min(low, r), max(high, r)
	}
	return low, high
}
