package watch

// PreviewReport shows the first rows of tables, as the source has them and as each sink
// would get them.
type PreviewReport struct {
	Tables []PreviewTable `json:"tables"`
	// More is how many tables are not shown.
	More int `json:"more,omitempty"`
}

// PreviewTable are rows of one table.
type PreviewTable struct {
	Table   string        `json:"table"`
	Columns []string      `json:"columns"` // "name type"
	Rows    []PreviewRow  `json:"rows"`
	Sinks   []PreviewSink `json:"sinks"`
}

// PreviewSink are the same rows in one sink.
type PreviewSink struct {
	Sink string `json:"sink"`
	// Table is its name there; empty: rules leave it out.
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	// Rows are as many as the source's; one is null that does not reach the sink.
	Rows []PreviewRow `json:"rows"`
	// Refused says of rows why they cannot be made, by their index.
	Refused map[int]string `json:"refused,omitempty"`
}

// PreviewRow has the texts of cells; null is null.
type PreviewRow []*string

// DryRunReport tells what a snapshot would write.
type DryRunReport struct {
	Tables  []DryTable `json:"tables"`
	Elapsed float64    `json:"elapsed_s"`
}

// DryTable is what was read of a table; bytes are those of values.
type DryTable struct {
	Table string    `json:"table"`
	Rows  int64     `json:"rows"`
	Bytes int64     `json:"bytes"`
	Sinks []DrySink `json:"sinks"`
}

// DrySink is what a sink would get of it.
type DrySink struct {
	Sink    string `json:"sink"`
	Table   string `json:"table"` // empty: rules leave it out
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"`
	Written int64  `json:"written_bytes"`    // about what would be written; 0: not known
	Refused int64  `json:"refused"`          // rows that rules cannot make, or the target cannot hold
	Reason  string `json:"reason,omitempty"` // of the first of them
}
