package service

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones of schedules, wherever it runs

	"godwit/internal/fault"
	"godwit/internal/job"
	"godwit/internal/option"
)

// schedule says when runs begin.
type schedule interface {
	// next is the first start after a time; zero: there is none.
	next(after time.Time) time.Time
}

// every begins a run so long after the one before began.
type every time.Duration

func (e every) next(after time.Time) time.Time { return after.Add(time.Duration(e)) }

const everyWord = "every "

func everyText(d time.Duration) string { return everyWord + option.FormatDuration(d) }

// newSchedule checks what somebody asks for as the schedule of a job, and returns it
// as it is kept: that of its file, where it says every.
func newSchedule(spec *job.Spec, text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	wrong := func(what string) error {
		return fault.New(fault.BadRequest, "schedule: %s", what).Try("five fields, such as CRON_TZ=Europe/Berlin 30 2 * * mon-fri")
	}
	of := ""
	if spec.Files != nil && spec.Files.Every > 0 {
		of = everyText(spec.Files.Every)
	}
	switch {
	case text == "" || text == of:
		return of, nil
	case of != "":
		return "", wrong("the job file says " + of + "; leave one of the two out")
	case spec.Files == nil && spec.Mode != job.Snapshot:
		return "", wrong(fmt.Sprintf("a job with mode %s runs for ever; only snapshots and file jobs have one", spec.Mode))
	}
	if _, err := parseCron(text); err != nil {
		return "", wrong(err.Error())
	}
	return text, nil
}

// parseSchedule reads a schedule as it is kept; nil: there is none.
func parseSchedule(text string) (schedule, error) {
	if length, is := strings.CutPrefix(text, everyWord); is {
		d, err := option.ParseDuration(length)
		return every(d), err
	}
	if text == "" {
		return nil, nil
	}
	return parseCron(text)
}

// waitsForItsTime reports whether a job was never called for and has a schedule that
// does so.
func (j *living) waitsForItsTime(r card) bool { return r.schedule != "" && r.began.IsZero() }

// due remembers what a schedule says: it is asked every second.
type due struct {
	of   string
	from time.Time
	at   time.Time
}

// passed reports whether the next run of a job should have begun. Starts that were
// missed, as the server was down or the job was paused, count once; those that came
// while it ran do not.
func (d *due) passed(r card, now time.Time) bool {
	if r.schedule == "" {
		return false
	}
	from := r.began
	if !strings.HasPrefix(r.schedule, everyWord) {
		for _, t := range []time.Time{r.ended, r.updated} {
			if t.After(from) {
				from = t
			}
		}
	}
	if d.of != r.schedule || !d.from.Equal(from) {
		*d = due{of: r.schedule, from: from}
		if s, err := parseSchedule(r.schedule); err == nil {
			d.at = s.next(from)
		}
	}
	return !d.at.IsZero() && !now.Before(d.at)
}

// cron is a schedule as cron(8) has it: bit n of a field is value n.
type cron struct {
	zone                           *time.Location
	minute, hour, day, month, week uint64
	// eitherDay: both day and week are limited; a day that fits one of them will do.
	eitherDay bool
}

// cronField is one field: its bounds and the names of its values from the lowest on.
type cronField struct {
	name      string
	low, high int
	names     []string
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of the week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// parseCron reads five fields, and CRON_TZ=ZONE before them; without it they are UTC.
func parseCron(text string) (*cron, error) {
	c := &cron{zone: time.UTC}
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "CRON_TZ=") {
		name := strings.TrimPrefix(fields[0], "CRON_TZ=")
		zone, err := time.LoadLocation(name)
		if err != nil || name == "" || name == "Local" {
			return nil, fmt.Errorf("%q is no time zone that is known here; expected one such as Europe/Berlin", name)
		}
		c.zone, fields = zone, fields[1:]
	}
	if len(fields) != len(cronFields) {
		return nil, fmt.Errorf("it has %d fields; expected five: minute, hour, day of the month, month, day of the week", len(fields))
	}
	var sets [5]uint64
	for i, f := range cronFields {
		set, err := f.parse(strings.ToLower(fields[i]))
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	c.minute, c.hour, c.day, c.month, c.week = sets[0], sets[1], sets[2], sets[3], sets[4]
	if c.week>>7&1 == 1 { // 7 is Sunday too
		c.week |= 1
	}
	c.eitherDay = fields[2][0] != '*' && fields[4][0] != '*'
	if c.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("no such day ever comes")
	}
	return c, nil
}

// parse reads a list of values, ranges and steps.
func (f cronField) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.high {
				return 0, fmt.Errorf("%s: %q is no step; expected a number from 1 to %d", f.name, stepText, f.high)
			}
		}
		from, to := f.low, f.high
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = f.value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				to, err = f.value(last)
			case !stepped:
				to = from
			}
			if err != nil {
				return 0, err
			}
			if from > to {
				return 0, fmt.Errorf("%s: %q goes backwards", f.name, span)
			}
		}
		for v := from; v <= to; v += step {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f cronField) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.low + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.low || n > f.high || text[0] == '+' {
		return 0, fmt.Errorf("%s: %q does not fit; expected %d to %d", f.name, text, f.low, f.high)
	}
	return n, nil
}

// farthest is how far ahead a start is looked for, days: eight years may lie between
// two 29ths of February.
const farthest = 8*366 + 1

// next finds the first start after a time. A time that clocks skip as summer begins
// is as much later; one that comes twice counts once, unless it is for every hour.
func (c *cron) next(after time.Time) time.Time {
	from := after.In(c.zone).Add(-2 * time.Hour) // clocks may have been set back since
	hour := from.Hour()
	for n := range farthest {
		day := time.Date(from.Year(), from.Month(), from.Day()+n, 0, 0, 0, 0, time.UTC) // a date, not a moment
		if c.onDay(day) {
			for ; hour < 24; hour++ {
				if c.hour>>hour&1 == 0 {
					continue
				}
				if t := c.inHour(day, hour, after); !t.IsZero() {
					return t
				}
			}
		}
		hour = 0
	}
	return time.Time{}
}

func (c *cron) onDay(day time.Time) bool {
	if c.month>>day.Month()&1 == 0 {
		return false
	}
	inMonth, inWeek := c.day>>day.Day()&1 == 1, c.week>>day.Weekday()&1 == 1
	if c.eitherDay {
		return inMonth || inWeek
	}
	return inMonth && inWeek
}

// inHour is the first start after a time in one hour that clocks show on a day.
func (c *cron) inHour(day time.Time, hour int, after time.Time) (first time.Time) {
	const everyHour = 1<<24 - 1
	for minute := range 60 {
		if c.minute>>minute&1 == 0 {
			continue
		}
		shown := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
		for i, t := range moments(shown, c.zone) {
			if (i == 0 || c.hour == everyHour) && t.After(after) && (first.IsZero() || t.Before(first)) {
				first = t
			}
		}
	}
	return first
}

// moments are those at which clocks of a zone show a time: one, or two, in order. A
// time that is skipped is taken by the clock as it was before.
func moments(shown time.Time, zone *time.Location) []time.Time {
	_, before := shown.Add(-26 * time.Hour).In(zone).Zone()
	_, later := shown.Add(26 * time.Hour).In(zone).Zone()
	var out []time.Time
	for i, offset := range []int{before, later} {
		t := shown.Add(-time.Duration(offset) * time.Second).In(zone)
		if _, is := t.Zone(); is == offset && (i == 0 || later != before) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		out = append(out, shown.Add(-time.Duration(before)*time.Second).In(zone))
	}
	return out
}
