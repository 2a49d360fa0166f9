package main

import (
	"fmt"
	"io"
)

// floor is the contestant that copies files and does nothing else.
const floor = "cp -r"

// goal is what file jobs are to reach in one workload.
type goal struct {
	workload string
	text     string
	against  string // "": the rival that is best; a program: its best setting
	of       func(sample) float64

	most  float64 // godwit's figure over the other's
	noise bool    // within the A/A band counts as "no difference seen"
}

func goals() []goal {
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
	if g.against != "" {
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
	for _, r := range rivals() {
		if r.label != program && r.program != program || len(w.samples[r.label]) == 0 {
			continue
		}
		if m := median(w.samples[r.label], of); label == "" || m < value {
			label, value = r.label, m
		}
	}
	return label, value
}

func goalTable(p io.Writer, all []workload) {
	fmt.Fprintf(p, "### Goals\n\nOf godwit's two turns the slower (or larger) median is held against the others.\n\n| goal | godwit | the other | godwit's is | |\n|---|---|---|---|---|\n")
	for _, g := range goals() {
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
