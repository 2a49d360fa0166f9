package watch

import (
	"math"
	"strconv"
)

// Rounded is a measured number as it is told: whole from 1000 on, else to the
// thousandth, and below 1 with three digits, so that what is little is never nothing.
// More digits than that nobody has measured.
func Rounded(x float64) float64 {
	switch size := math.Abs(x); {
	case math.IsInf(x, 0), size == 0:
		return x
	case size >= 1000:
		return math.Round(x)
	case size >= 1:
		return math.Round(x*1000) / 1000
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	if err != nil {
		return x // NaN
	}
	return short
}

// round rounds all that was measured in a progress, in place.
func (p *Progress) round() {
	all := []*float64{&p.Elapsed, p.Rate, p.ByteRate, p.KeptFor, p.Reach, p.Rows.Percent}
	if p.Left != nil {
		all = append(all, &p.Left.Seconds, &p.Left.Low, &p.Left.High)
	}
	for i := range p.Active {
		all = append(all, p.Active[i].Rate, p.Active[i].Rows.Percent)
	}
	if c := p.Changes; c != nil {
		all = append(all, c.Rate, c.Lag.Seconds, c.CatchUp, c.Falling, c.LostIn)
	}
	for i := range p.Sinks {
		all = append(all, p.Sinks[i].Lag.Seconds)
	}
	for i := range p.Stages {
		all = append(all, &p.Stages[i].Busy, &p.Stages[i].Blocked, &p.Stages[i].Waiting)
	}
	if p.Brake != nil {
		all = append(all, &p.Brake.Share)
	}
	if p.Files != nil {
		all = append(all, p.Files.Rate, p.Files.ListRate)
	}
	for _, x := range all {
		if x != nil {
			*x = Rounded(*x)
		}
	}
}
