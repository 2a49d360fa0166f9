package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// Goals of a server with 200 jobs.
const (
	serveMemory = 300  // MiB, at its peak
	serveCPU    = 0.05 // of one core, while nothing changes
	serveP99    = 20   // ms
)

// middle is the median, with the least and the most.
func middle[T any](all []T, of func(T) float64) (mid, least, most float64) {
	var values []float64
	for _, one := range all {
		values = append(values, of(one))
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0, 0, 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]
}

// servePart is what the page says of a server with many jobs.
func (b *bench) servePart(f fleetFigures) string {
	var p bytes.Buffer
	fmt.Fprintf(&p, `## A server with %d jobs

%[1]d jobs on one `+"`godwit serve`"+` at defaults, each following %d tables of one MariaDB into CSV in a local folder. In each round: %.0f s in which nothing changes;
%d requests a second for %.0f s, a request counting from when it was due; then kill -9 and a new start. The load's sender and MariaDB run on the same
machine. Of every 1,000 requests %s; every second client takes compressed answers.
That what arrives is exact is judged by the tests of a server that is killed, not here.

`, b.jobs, tablesOfAJob, b.idle.Seconds(), loadRate, b.pressed.Seconds(), shares())
	b.machine(&p)
	fmt.Fprintf(&p, "Load of the machine at the end: %s. MariaDB %s.\n\n| | median | least–most | goal | |\n|---|---|---|---|---|\n", load(), b.server.Version)
	fmt.Fprintf(&p, "| all jobs submitted and following, s | %.1f | | | |\n| resident meanwhile at most, MiB | %d | | %d | %s |\n",
		f.submitted.Seconds(), f.peak>>20, serveMemory, word(float64(f.peak)/(1<<20) <= serveMemory))
	line := func(name, form string, goal float64, of func(fleetRound) float64) {
		mid, least, most := middle(f.rounds, of)
		fmt.Fprintf(&p, "| %s | "+form+" | "+form+"–"+form+" |", name, mid, least, most)
		if goal > 0 {
			fmt.Fprintf(&p, " %g | %s |\n", goal, word(mid <= goal))
			return
		}
		fmt.Fprint(&p, " | |\n")
	}
	line("CPU while nothing changes, % of one core", "%.1f", 100*serveCPU, func(r fleetRound) float64 { return 100 * r.quiet.cpu })
	line("MariaDB's CPU meanwhile, % of one core", "%.1f", 0, func(r fleetRound) float64 { return 100 * r.quiet.source })
	line("resident while nothing changes, MiB", "%.0f", serveMemory, func(r fleetRound) float64 { return float64(r.quiet.rss) / (1 << 20) })
	line("resident at most, MiB", "%.0f", serveMemory, func(r fleetRound) float64 { return float64(r.peak) / (1 << 20) })
	line("requests under load: p50, ms", "%.2f", 0, func(r fleetRound) float64 { return ms(r.load.all.at(0.5)) })
	line("requests under load: p99, ms", "%.2f", serveP99, func(r fleetRound) float64 { return ms(r.load.all.at(0.99)) })
	line("requests under load that failed", "%.0f", 0, func(r fleetRound) float64 { return float64(r.load.failed) })
	line("CPU under load, % of one core", "%.0f", 0, func(r fleetRound) float64 { return 100 * r.load.cpu })
	line("after kill -9: until it answers, s", "%.2f", 0, func(r fleetRound) float64 { return r.revival.answers.Seconds() })
	line("after kill -9: until all jobs follow again, s", "%.1f", 0, func(r fleetRound) float64 { return r.revival.whole.Seconds() })
	kinds(&p, f.rounds)
	return p.String()
}

func word(met bool) string {
	if met {
		return "met"
	}
	return "**not met**"
}

func shares() string {
	var text string
	for i, q := range mix() {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", q.share, q.name)
	}
	return text
}

// kinds is a table of latencies by what was asked for.
func kinds(p io.Writer, rounds []fleetRound) {
	fmt.Fprint(p, "\n| request | p50 ms | p99 ms |\n|---|---|---|\n")
	for _, q := range mix() {
		half, _, _ := middle(rounds, func(r fleetRound) float64 { return ms(r.load.of[q.name].at(0.5)) })
		most, _, _ := middle(rounds, func(r fleetRound) float64 { return ms(r.load.of[q.name].at(0.99)) })
		fmt.Fprintf(p, "| %s | %.2f | %.2f |\n", q.name, half, most)
	}
}
