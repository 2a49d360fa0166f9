package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func lines(b []byte) iter.Seq[[]byte] { return bytes.Lines(b) }

const intro = `# Benchmarks

Written by ` + "`make bench`" + `. Each output is read back and compared with the source by value before its run counts. Contestants take turns in
every round, in turned order every second round; one round before them does not count. Figures are medians. "godwit again" is godwit's second
turn in each round: how far it is from the first is how much of any difference is noise. CPU is that of the process and those it started and,
after the plus, what the server took meanwhile; memory is the greatest resident size of the process and those it started.
`

// publish prints a part of the page, and puts it into the page when all of it
// was measured: figures of other parts stay as they are.
func (b *bench) publish(part, text string, whole bool) error {
	if _, err := os.Stdout.WriteString(text); err != nil || b.out == "" {
		return err
	}
	if !whole {
		fmt.Printf("\n%s is left as it is: only some of the part %q was measured.\n", b.out, part)
		return nil
	}
	old, err := os.ReadFile(b.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(b.out, []byte(merge(string(old), part, text)), 0o644)
}

// merge puts a part into a page that may have it, or others, already.
func merge(page, part, text string) string {
	out := intro
	for _, name := range []string{partTables, partFiles, partServe} {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
		body := text
		if name != part {
			_, rest, found := strings.Cut(page, begin)
			if body, _, _ = strings.Cut(rest, end); !found {
				continue
			}
		}
		out += "\n" + begin + body + end
	}
	return out
}

// tablesPart is what the page says of table jobs.
func (b *bench) tablesPart(all []workload) string {
	var p bytes.Buffer
	fmt.Fprint(&p, "## Table jobs\n\nEvery file is on the disk (fsync) within the time shown, whoever wrote it.\n\n")
	b.machine(&p)
	fmt.Fprintf(&p, "Versions: MariaDB %s; %s", b.server.Version, strings.Join(b.tools.versions, "; "))
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/go-mysql-org/go-mysql" {
				fmt.Fprintf(&p, "; go-mysql %s", m.Version)
			}
		}
	}
	fmt.Fprintln(&p, ".")
	for _, w := range all {
		table(&p, w)
	}
	fmt.Fprintln(&p)
	goalTable(&p, tableGoals(), all)
	return p.String()
}

func (b *bench) machine(p io.Writer) {
	model, memory, kernel := firstField("/proc/cpuinfo", "model name"), firstField("/proc/meminfo", "MemTotal"), ""
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = release(string(text))
	}
	fmt.Fprintf(p, "Machine: %d processors (%s), %s of memory, Linux %s, %s. Measured on %s, rounds: %d.\n\n", runtime.NumCPU(), model, memory, kernel, runtime.Version(), time.Now().UTC().Format("2 January 2006"), b.rounds)
}

// release is the version of a kernel; what follows it names a build.
func release(text string) string {
	version, _, _ := strings.Cut(strings.TrimSpace(text), "-")
	return version
}

func firstField(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "unknown"
}

// table is a workload's part of the page.
func table(p io.Writer, w workload) {
	fmt.Fprintf(p, "\n### %s\n\n%s\n\n| run | s (least–most) | %s/s | godwit's time is | CPU s | RSS MiB | MiB written |\n|---|---|---|---|---|---|---|\n", w.title, w.about, w.unit)
	own := median(w.samples[w.contestants[0].name], func(s sample) float64 { return s.wall.Seconds() })
	labels := []string{w.contestants[0].name, w.contestants[0].name + " " + control}
	for _, c := range w.contestants[1:] {
		labels = append(labels, c.name)
	}
	for _, label := range labels {
		all := w.samples[label]
		if len(all) == 0 {
			continue
		}
		wall := median(all, func(s sample) float64 { return s.wall.Seconds() })
		least, most := extremes(all)
		fmt.Fprintf(p, "| %s | %.2f (%.2f–%.2f) | %.0fk | %.2f× | %.2f + %.2f | %.0f | %.0f |\n", label, wall, least, most,
			float64(w.count)/wall/1000, own/wall,
			median(all, func(s sample) float64 { return s.cpu.Seconds() }), median(all, func(s sample) float64 { return s.server.Seconds() }),
			median(all, func(s sample) float64 { return float64(s.rss) / (1 << 20) }), median(all, func(s sample) float64 { return float64(s.bytes) / (1 << 20) }))
	}
	fmt.Fprintln(p)
	for _, c := range w.contestants {
		fmt.Fprintf(p, "- %s: %s.\n", c.name, c.setting)
		if why := w.failed[c.name]; why != "" {
			fmt.Fprintf(p, "  It is not in the table: %s.\n", brief(why))
		}
	}
	first := median(w.samples[w.contestants[0].name], func(s sample) float64 { return float64(firstRow(s.stdout)) })
	if first >= 0 {
		fmt.Fprintf(p, "\nFrom the start of godwit's process to the first row handed to the sink: %.0f ms.\n", first)
	}
}

func median(all []sample, of func(sample) float64) float64 {
	if len(all) == 0 {
		return 0
	}
	var values []float64
	for _, s := range all {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func extremes(all []sample) (least, most float64) {
	for i, s := range all {
		w := s.wall.Seconds()
		if i == 0 || w < least {
			least = w
		}
		most = max(most, w)
	}
	return least, most
}
