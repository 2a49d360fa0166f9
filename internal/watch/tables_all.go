package watch

// Carried says which tables the stream carries whose snapshot is not of this run, so that
// they are known too. Each call replaces what was said before.
func (j *Job) Carried(tables []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.carried = tables
}

// TableState is what is counted of one table.
type TableState struct {
	Name               string
	Rows, Bytes        int64 // in all, corrected by what was read; -1 unknown
	Done               int64 // rows
	Chunks, ChunksDone int
	Rate               *float64 // rows a second since its first chunk; nil: unknown
	Active             bool     // being read now
	Whole              bool     // its snapshot is
	Buried             int64    // rows that sinks have put aside in this run
}

// Tables returns what is counted of all tables: those of the snapshot in the order they
// were planned in, then those that are only carried on.
func (j *Job) Tables() []TableState {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.o.Now()
	var out []TableState
	planned := map[string]bool{}
	for _, t := range j.tallies(now) {
		s := TableState{
			Name: t.name, Rows: t.total, Bytes: t.estBytes, Done: t.rows, Chunks: t.chunks, ChunksDone: t.finished,
			Active: t.active > 0, Whole: t.done, Buried: j.buried[t.name],
		}
		if took := now.Sub(t.first).Seconds(); !t.first.IsZero() && took >= 1 && !t.done {
			r := Rounded(float64(t.runRows) / took)
			s.Rate = &r
		}
		out, planned[t.name] = append(out, s), true
	}
	for _, name := range j.carried {
		if !planned[name] {
			out = append(out, TableState{Name: name, Rows: -1, Bytes: -1, Whole: true, Buried: j.buried[name]})
		}
	}
	return out
}
