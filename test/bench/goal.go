package main

import (
	"fmt"
	"io"
)

// floor is the contestant that copies files and does nothing else.
const floor = "cp -r"

// goal is what godwit is to reach in one workload.
type goal struct {
	workload string
	text     string
	against  string // "": the rival that is best; a program: its best setting; itself: a figure
	of       func(sample) float64

	most  float64 // godwit's figure over the other's, or the figure itself
	noise bool    // within the A/A band counts as "no difference seen"
}

// itself is whom godwit is compared with where a figure is the goal.
const itself = "the goal"

// memory is what a run at defaults may hold, in MiB.
const memory = 128

// tableGoals are those of table jobs.
func tableGoals() []goal {
	all := []goal{
		{workload: parquetName, text: "a table to Parquet: no slower than ConnectorX", against: "ConnectorX", of: seconds, most: 1, noise: true},
		{workload: postgresName, text: "a table to PostgreSQL: no slower than the plain pipe", against: pipeName, of: seconds, most: 1, noise: true},
		{workload: applyName, text: "changes to PostgreSQL: 1.5× as fast as its own serial replication", of: seconds, most: 1 / 1.5},
		{workload: changesName, text: "changes to files: 6× as fast as Debezium", against: "Debezium", of: seconds, most: 1.0 / 6},
		{workload: lineitemName, text: "a table to files: ms from the start to the first row", against: itself, of: firstRowOf, most: 100},
	}
	for _, name := range tableNames() {
		all = append(all, goal{workload: name, text: name + ": MiB of memory", against: itself, of: mebibytes, most: memory})
	}
	return all
}

func firstRowOf(s sample) float64 { return float64(firstRow(s.stdout)) }

// fileGoals are those of file jobs.
func fileGoals() []goal {
	return []goal{
		{workload: "up-small", text: "small uploads: 1.5× as fast as the fastest", of: seconds, most: 1 / 1.5},
		{workload: "s3-small", text: "small, S3 to S3: 1.5× as fast as the fastest", of: seconds, most: 1 / 1.5},
		{workload: "again-up", text: "nothing to do, folder to S3: no slower than juicefs", against: "juicefs", of: seconds, most: 1, noise: true},
		{workload: "again-s3", text: "nothing to do, S3 to S3: no slower than juicefs", against: "juicefs", of: seconds, most: 1, noise: true},
		{workload: "up-large", text: "large uploads: within 1.05× of the fastest", of: seconds, most: 1.05},
		{workload: "s3-large", text: "large, S3 to S3: within 1.05× of the fastest", of: seconds, most: 1.05},
		{workload: "local-small", text: "small files, folder to folder: within 1.5× of `cp -r`, nothing synced for cp", against: floor, of: secondsAlone, most: 1.5},
		{workload: "local-small", text: "small files, folder to folder: within 1.5× of `cp -r` and `sync`", against: floor, of: seconds, most: 1.5},
		{workload: "local-large", text: "large files, folder to folder: within 1.5× of `cp -r`, nothing synced for cp", against: floor, of: secondsAlone, most: 1.5},
		{workload: "local-large", text: "large files, folder to folder: within 1.5× of `cp -r` and `sync`", against: floor, of: seconds, most: 1.5},
		{workload: "up-large", text: "large uploads: the least memory", of: mebibytes, most: 1},
		{workload: "s3-large", text: "large, S3 to S3: the least memory", of: mebibytes, most: 1},
	}
}

// verdict is a goal judged by figures.
type verdict struct {
	own, other float64
	rival      string
	word       string // met, not met, no difference seen, or why it was not judged
}

// judge holds a goal against a workload. Of godwit's two turns the worse median
// counts.
func (g goal) judge(w *workload) verdict {
	first, second := w.samples[godwitLabel], w.samples[godwitLabel+" "+control]
	if len(first) == 0 || len(second) == 0 {
		return verdict{word: "not judged: godwit did not run"}
	}
	v := verdict{own: max(median(first, g.of), median(second, g.of))}
	v.rival, v.other = fastest(w, g.of)
	switch g.against {
	case "":
	case itself:
		v.rival, v.other, g.most = itself, g.most, 1
	default:
		v.rival, v.other = bestOf(w, g.against, g.of)
	}
	if v.rival == "" {
		v.word = "not judged: nobody to compare with ran"
		return v
	}
	low, high := band(w)
	switch ratio := v.own / v.other; {
	case ratio <= g.most:
		v.word = "met"
	case g.noise && ratio <= max(high, 1/low):
		v.word = fmt.Sprintf("no difference seen: within the A/A band (%.2f–%.2f)", low, high)
	default:
		v.word = "**not met**"
	}
	return v
}

// bestOf is the best setting of one program.
func bestOf(w *workload, program string, of func(sample) float64) (label string, value float64) {
	settings := []string{program}
	for _, r := range rivals() {
		if r.program == program {
			settings = append(settings, r.label)
		}
	}
	for _, name := range settings {
		if len(w.samples[name]) == 0 {
			continue
		}
		if m := median(w.samples[name], of); label == "" || m < value {
			label, value = name, m
		}
	}
	return label, value
}

// goalTable says which goals the workloads met.
func goalTable(p io.Writer, goals []goal, all []workload) {
	fmt.Fprintf(p, "### Goals\n\nOf godwit's two turns the slower (or larger) median is held against the others.\n\n| goal | godwit | the other | godwit's is | |\n|---|---|---|---|---|\n")
	for _, g := range goals {
		var w *workload
		for i := range all {
			if all[i].name == g.workload {
				w = &all[i]
			}
		}
		if w == nil {
			fmt.Fprintf(p, "| %s | – | – | – | not measured |\n", g.text)
			continue
		}
		v := g.judge(w)
		if v.rival == "" {
			fmt.Fprintf(p, "| %s | – | – | – | %s |\n", g.text, v.word)
			continue
		}
		fmt.Fprintf(p, "| %s | %.2f | %s %.2f | %.2f× | %s |\n", g.text, v.own, v.rival, v.other, v.own/v.other, v.word)
	}
}
