package files

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"godwit/internal/codec"
	"godwit/internal/connector"
	"godwit/internal/position"
	"godwit/internal/row"
)

const statusVersion = 1

// status writes the document that tells plain readers how far each table is
// complete and how its columns came to be (docs/formats/target-folder.md).
type status struct {
	mu          sync.Mutex
	incarnation uint16
	tables      []byte // as last written
	written     time.Time
	pending     []byte // a document that was not written because the last one is recent
	cache       map[tableState]json.RawMessage
}

// statusHead is what the document has before its tables.
type statusHead struct {
	Version int               `json:"version"`
	Job     string            `json:"job"`
	Sink    string            `json:"sink"`
	Updated time.Time         `json:"updated"`
	Layout  string            `json:"layout"`
	Path    string            `json:"path"` // of folders: what follows that of a table divides its rows
	Format  string            `json:"format"`
	Options map[string]string `json:"options,omitempty"`
	At      statusPlace       `json:"at"`
	Tables  json.RawMessage   `json:"tables"`
}

// statusPlace is the place all tables have reached.
type statusPlace struct {
	Described string `json:"described"`
	Pos       string `json:"_pos"`
}

// statusTable is one table.
type statusTable struct {
	Name     string         `json:"name"`
	Space    string         `json:"space"`
	Table    string         `json:"table"`
	Number   uint32         `json:"number"`
	Shape    uint32         `json:"shape"`   // version of the shape below
	Folder   string         `json:"folder"`  // where its rows go now
	Folders  []string       `json:"folders"` // where they lie: more than one when the table was renamed
	Complete bool           `json:"complete"`
	From     string         `json:"from"` // _pos: the state at a place is right from here on
	Stopped  string         `json:"stopped"`
	Key      []string       `json:"key"`
	Columns  []statusColumn `json:"columns"`
}

// statusColumn is one column of the latest shape.
type statusColumn struct {
	Name     string  `json:"name"`   // in the source
	Column   string  `json:"column"` // in the files
	Type     string  `json:"type"`   // as the format writes it
	Native   string  `json:"native"` // as the source has it
	Nullable bool    `json:"nullable"`
	Since    string  `json:"since"`   // _pos: rows before it lack the column and have the default
	Default  *string `json:"default"` // of those rows; null: NULL
	// Names are what the column was called in files before, oldest first: rows
	// before Until of each have it under that name.
	Names []formerName `json:"names"`
}

type formerName struct {
	Name  string `json:"name"`
	Until string `json:"until"`
}

// tableState is what a table's part of the document is made from.
type tableState struct {
	table    *row.Table
	complete bool
	from     position.Position
	stopped  string
	inc      uint16
}

// follow notes the incarnation of the log that rows come from.
func (s *status) follow(incarnation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.incarnation = max(s.incarnation, uint16(incarnation))
}

// pos returns the _pos of an order in the incarnation last seen.
func (s *status) pos(order string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return posText(s.incarnation, order)
}

// Announce implements connector.Announcer. A large document that differs only in
// its place is written more seldom: a second apart for each MiB.
func (s *sink) Announce(ctx context.Context, at position.Position, described string, tables []connector.Completion) error {
	if err := s.history.load(ctx, s); err != nil {
		return err
	}
	if err := s.announce(ctx, at, described, tables); err != nil {
		return err
	}
	for _, c := range tables { // the document says by now where their rows are
		if c.Complete && c.Table.Generation > 1 && s.mine.Layout == layoutAppend {
			s.retire(ctx, c.Table)
		}
	}
	return nil
}

func (s *sink) announce(ctx context.Context, at position.Position, described string, tables []connector.Completion) error {
	st := &s.status
	st.mu.Lock()
	defer st.mu.Unlock()
	list := s.statusTables(tables)
	doc := s.statusDocument(row.PlacePos(st.incarnation, at), described, list)
	if bytes.Equal(list, st.tables) && s.now().Sub(st.written) < time.Duration(len(doc)>>20)*time.Second {
		st.pending = doc
		return nil
	}
	if err := s.put(ctx, statusKey, doc); err != nil {
		return err
	}
	st.tables, st.written, st.pending = list, s.now(), nil
	return nil
}

// flushStatus writes what Announce held back.
func (s *sink) flushStatus(ctx context.Context) error {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	if s.status.pending == nil {
		return nil
	}
	doc := s.status.pending
	s.status.pending = nil
	return s.put(ctx, statusKey, doc)
}

func (s *sink) statusDocument(pos, described string, tables []byte) []byte {
	b, err := json.Marshal(statusHead{statusVersion, s.mine.Job, s.mine.Sink, s.now().UTC(), s.mine.Layout, s.path.text, s.mine.Format,
		s.mine.Options, statusPlace{described, pos}, tables})
	if err != nil {
		panic(err) // plain data
	}
	return append(b, '\n')
}

// statusTables returns the list of tables, each part made once; status.mu is held.
func (s *sink) statusTables(tables []connector.Completion) []byte {
	old := s.status.cache
	s.status.cache = make(map[tableState]json.RawMessage, len(tables))
	var b bytes.Buffer
	b.WriteByte('[')
	for i, c := range tables {
		k := tableState{c.Table, c.Complete, c.From, c.Stopped, s.status.incarnation}
		part, ok := old[k]
		if !ok {
			var err error
			if part, err = json.Marshal(s.statusTable(c)); err != nil {
				panic(err) // plain data
			}
		}
		s.status.cache[k] = part
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(part)
	}
	b.WriteString("\n]")
	return b.Bytes()
}

func (s *sink) statusTable(c connector.Completion) statusTable {
	t := c.Table
	out := statusTable{Name: t.Name.String(), Space: t.Name.Space, Table: t.Name.Table, Number: t.Number, Shape: t.Version,
		Folder: s.know(t), Complete: c.Complete, From: row.PlacePos(s.status.incarnation, c.From), Stopped: c.Stopped,
		Folders: []string{}, Key: []string{}}
	for _, k := range t.Key {
		out.Key = append(out.Key, t.Columns[k].Name)
	}
	versions := s.history.of(t)
	for _, v := range versions {
		if s.mine.Layout == layoutAppend && v.Table.Generation != t.Generation {
			continue // they go when this generation is whole
		}
		folder := s.know(v.Table)
		if len(out.Folders) == 0 || out.Folders[len(out.Folders)-1] != folder {
			out.Folders = append(out.Folders, folder)
		}
	}
	out.Columns = s.columnsOf(versions)
	return out
}

// inFiles returns what the columns of a table are called in its files, which
// differs from their names where those are taken by a changelog's own, and in what
// form they are written.
func (s *sink) inFiles(t *row.Table) (names, types []string) {
	plain := s.codec.Columns(codec.Shape{Table: t})
	meta := s.codec.Columns(s.shape(t))
	meta = meta[max(0, len(meta)-len(plain)):]
	for i := range plain {
		typ := strings.TrimPrefix(plain[i], t.Columns[i].Name+" ")
		types = append(types, typ)
		names = append(names, strings.TrimSuffix(meta[i], " "+typ))
	}
	return names, types
}

// columnsOf follows each column of the last version back to where it began.
func (s *sink) columnsOf(versions []*version) []statusColumn {
	var was []statusColumn
	for i, v := range versions {
		now := make([]statusColumn, 0, len(v.Table.Columns))
		names, types := s.inFiles(v.Table)
		for j, c := range v.Table.Columns {
			name := c.Name
			if old, ok := v.Renamed[name]; ok {
				name = old
			}
			k := -1
			for w := range was {
				if was[w].Name == name {
					k = w
				}
			}
			col := statusColumn{Names: []formerName{}}
			if i > 0 {
				col.Since, col.Default = v.Since, c.Default
			}
			if k >= 0 {
				col = was[k]
				if col.Column != names[j] {
					col.Names = append(col.Names[:len(col.Names):len(col.Names)], formerName{col.Column, v.Since})
				}
			}
			col.Name, col.Column, col.Type, col.Native, col.Nullable = c.Name, names[j], types[j], c.Type.Native, c.Nullable
			now = append(now, col)
		}
		was = now
	}
	return was
}
