package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/watch"
)

// watchJSON prints everything that is heard as a line.
type watchJSON struct{ a *app }

func (w *watchJSON) job(j api.Job)     { w.a.emit(jobLine{w.a.head(lineJob), j}) }
func (w *watchJSON) gone(name string)  { w.a.emit(goneLine{w.a.head(lineGone), name}) }
func (w *watchJSON) alarm(x api.Alarm) { w.a.emit(alarmLine{w.a.head(lineAlarm), x}) }
func (w *watchJSON) audit(e api.Entry) { w.a.emit(auditLine{w.a.head(lineAudit), e}) }
func (w *watchJSON) away(err *fault.Error) {
	w.a.emit(warningLine{jobHead: w.a.jobHead(lineWarning, ""), What: "no news: " + err.What, Reason: string(err.Code)})
}
func (w *watchJSON) back() {}
func (w *watchJSON) tick() {}
func (w *watchJSON) end()  {}

// said is what was said last of a job.
type said struct {
	stands string
	at     time.Time
}

// progressEvery is how often a line tells progress alone.
const progressEvery = 10 * time.Second

// watchLines prints a plain line for each change, and progress now and then.
type watchLines struct {
	a     *app
	said  map[string]said
	alone bool // without the server
}

func (w *watchLines) line(at time.Time, words ...string) {
	w.a.print(at.UTC().Format("2006-01-02T15:04:05Z") + " " + strings.Join(words, " "))
}

func (w *watchLines) job(j api.Job) {
	now, before := w.a.p.Now(), w.said[j.Name]
	stands := standsKey(j)
	if stands == before.stands && now.Sub(before.at) < progressEvery {
		return
	}
	moves := j.Progress != nil && j.Standing.Status == api.StatusRunning
	if stands == before.stands && !moves {
		return
	}
	w.said[j.Name] = said{stands, now}
	w.line(now, jobWords(j)...)
}

// standsKey is what a line is worth for at once.
func standsKey(j api.Job) string {
	code, phase := "", ""
	if j.Standing.Error != nil {
		code = j.Standing.Error.Code
	}
	if j.Progress != nil {
		phase = j.Progress.Phase
	}
	return fmt.Sprint(j.Standing.Status, j.Wish.Desired, j.Health, j.Version, j.Standing.Attempt, code, phase)
}

// jobWords are a job as name and key=value.
func jobWords(j api.Job) []string {
	out := []string{clean(j.Name)}
	put := func(key, value string) {
		if value == "" {
			return
		}
		if strings.ContainsAny(value, " =\"") {
			value = strconv.Quote(value)
		}
		out = append(out, key+"="+clean(value))
	}
	put("status", string(j.Standing.Status))
	put("desired", string(j.Wish.Desired))
	put("health", string(j.Health))
	put("version", strconv.FormatInt(j.Version, 10))
	if p := j.Progress; p != nil {
		put("phase", p.Phase)
		if p.Rows.Percent != nil && p.Phase == watch.Snapshot {
			put("pct", strings.TrimSuffix(percentText(*p.Rows.Percent), " %"))
		}
		if p.Rate != nil {
			put("rows_s", strconv.FormatInt(int64(*p.Rate), 10))
		}
		if p.Changes != nil && p.Phase != watch.Snapshot {
			put("lag", lagPlain(p.Changes.Lag))
		}
	}
	if e := j.Standing.Error; e != nil {
		put("code", e.Code)
		put("error", e.What)
	}
	put("reason", j.Standing.Reason)
	return out
}

func (w *watchLines) gone(name string) {
	delete(w.said, name)
	w.line(w.a.p.Now(), clean(name), "gone")
}

func (w *watchLines) alarm(x api.Alarm) {
	word := "alarm=" + clean(x.Kind)
	if !x.Resolved.IsZero() {
		word = "alarm_over=" + clean(x.Kind)
	}
	w.line(w.a.p.Now(), orServer(x.Job), word, "what="+strconv.Quote(x.What))
}

func (w *watchLines) audit(e api.Entry) {
	w.line(w.a.p.Now(), orServer(e.Job), "by="+clean(e.By), "what="+strconv.Quote(e.What), "outcome="+clean(string(e.Outcome)))
}

// orServer names what an alarm or an entry is about.
func orServer(job string) string {
	if job == "" {
		return "server"
	}
	return clean(job)
}

func (w *watchLines) away(err *fault.Error) {
	if !w.alone {
		w.a.scr.print("no news since " + w.a.p.Now().Local().Format("15:04:05 -07:00") + ": " + clean(err.What) + "; trying again")
	}
	w.alone = true
}

func (w *watchLines) back() {
	if w.alone {
		w.a.scr.print("the server is there again")
	}
	w.alone = false
}
func (w *watchLines) tick() {}
func (w *watchLines) end()  {}

// watchTable repaints the jobs on a terminal.
type watchTable struct {
	a       *app
	f       *follower
	news    time.Time // when the last one came
	alone   string    // why there are none
	painted time.Time
	dirty   bool
}

func (w *watchTable) heard() {
	w.news, w.alone, w.dirty = w.a.p.Now(), "", true
}

func (w *watchTable) job(api.Job) { w.heard() }
func (w *watchTable) gone(name string) {
	w.heard()
	w.a.scr.print(w.clock() + "  " + clean(name) + " is gone")
}
func (w *watchTable) alarm(x api.Alarm) {
	w.heard()
	word := w.a.errCol.yellow("alarm")
	if !x.Resolved.IsZero() {
		word = "over "
	}
	w.a.scr.print(w.clock() + "  " + word + "  " + orServer(x.Job) + ": " + clean(x.What))
}
func (w *watchTable) audit(e api.Entry) {
	w.heard()
	w.a.scr.print(w.clock() + "  " + orServer(e.Job) + ": " + clean(e.What) + clean(by(e.By)) + clean(because(e.Reason)))
}
func (w *watchTable) clock() string { return w.a.p.Now().Local().Format("15:04:05") }

func (w *watchTable) away(err *fault.Error) { w.alone, w.dirty = err.What, true }
func (w *watchTable) back()                 { w.heard() }

// tick repaints when there is news, and every second, because times grow.
func (w *watchTable) tick() {
	now := w.a.p.Now()
	if w.news.IsZero() || !w.dirty && now.Sub(w.painted) < time.Second {
		return
	}
	w.painted, w.dirty = now, false
	w.a.scr.paint(w.lines(now))
}

func (w *watchTable) end() {
	if w.news.IsZero() {
		return
	}
	lines := w.lines(w.a.p.Now())
	_, height := w.a.scr.size()
	w.a.scr.paint(nil)
	w.a.scr.print(lines[:min(len(lines), max(1, height-1))]...) // how it stood last stays
}

// lines say how new everything is, and then the jobs, worst first: where the screen
// ends, it is the good ones that are cut.
func (w *watchTable) lines(now time.Time) []string {
	jobs := slices.SortedFunc(maps.Values(w.f.jobs), func(a, b api.Job) int {
		return cmp.Or(cmp.Compare(healthRank(a.Health), healthRank(b.Health)), cmp.Compare(a.Name, b.Name))
	})
	width := max(20, w.a.scr.width()-1)
	v := view{w.a.errCol, width}
	title := plural(int64(len(jobs)), "job") + " as of " + w.news.Local().Format("15:04:05 -07:00") + "   Ctrl-C ends the watching; jobs go on"
	if w.alone != "" {
		title = w.a.errCol.yellow("no news since "+w.news.Local().Format("15:04:05 -07:00")) + ": " + clean(w.alone) + "; trying again"
	}
	out := []string{cut(title, width)}
	if w.f.name != "" && len(jobs) == 1 {
		return append(out, jobLines(jobs[0], v, now)...)
	}
	return append(out, jobListing(jobs, now).lines(width, w.a.errCol)...)
}

func healthRank(h api.JobHealth) int {
	return slices.Index([]api.JobHealth{api.JobHealthFailed, api.JobHealthAlarm, api.JobHealthRetrying, api.JobHealthChanging, api.JobHealthOk, api.JobHealthIdle}, h)
}
