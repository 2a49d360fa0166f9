package mysql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector"
	"godwit/internal/fault"
	"godwit/internal/row"
)

// shortRetention is below which keeping the log is worth a warning: a weekend.
const shortRetention = 2 * 24 * time.Hour

// maxNamed is how many tables a finding names.
const maxNamed = 5

// Check looks at what reading tables and following the log will need. It changes
// nothing.
func (s *source) Check(ctx context.Context, tables []*row.Table) []connector.Finding {
	c, err := s.dial(ctx)
	if err != nil {
		return []connector.Finding{{Name: "connection", Detail: s.where(), Fault: fault.Of(err)}}
	}
	defer c.close()
	k := &checker{s: s, c: c, tables: tables}
	k.add("connection", fmt.Sprintf("%s, %s %s", s.where(), c.kind(), c.version), nil)
	for _, step := range k.steps() {
		if err := step(ctx); err != nil {
			k.add("connection", "a check could not be made", fault.Of(err))
			if c.broken {
				break
			}
		}
	}
	return k.found
}

// kind names the server for people.
func (c *conn) kind() string {
	if c.mysql {
		return "MySQL"
	}
	return "MariaDB"
}

func (k *checker) steps() []func(context.Context) error {
	if k.c.mysql {
		return []func(context.Context) error{
			k.settings, k.version, k.log, k.format, k.image, k.gtids, k.order, k.documents, k.retention, k.filters, k.replica, k.packet,
			k.grants, k.rights, k.locks, k.engines, k.keys, k.cascades, k.xa,
		}
	}
	return []func(context.Context) error{
		k.settings, k.version, k.log, k.format, k.image, k.strict, k.retention, k.filters, k.replica, k.packet,
		k.grants, k.rights, k.engines, k.keys, k.cascades, k.xa,
	}
}

// checker collects findings over one connection.
type checker struct {
	s      *source
	c      *conn
	tables []*row.Table
	set    map[string]string // global variables
	user   string            // as a GRANT names it
	found  []connector.Finding
}

func (k *checker) add(name, detail string, f *fault.Error) {
	if f != nil && f.Where == "" {
		f.At("%s", k.s.where())
	}
	k.found = append(k.found, connector.Finding{Name: name, Detail: detail, Fault: f})
}

func (k *checker) warn(name, detail string, f *fault.Error) {
	k.add(name, detail, f)
	k.found[len(k.found)-1].Warn = true
}

// setting makes the fault of a variable that is not what it must be.
func setting(format string, args ...any) *fault.Error {
	return fault.New(fault.SourceSettings, format, args...)
}

func (k *checker) settings(ctx context.Context) error {
	k.set = map[string]string{}
	err := k.c.each(ctx, "SHOW GLOBAL VARIABLES", func(v []value) error {
		k.set[strings.ToLower(v[0].text())] = v[1].text()
		return nil
	})
	if err != nil {
		return err
	}
	k.user, err = k.c.account(ctx)
	return err
}

// account returns the user as a GRANT names it.
func (c *conn) account(ctx context.Context) (string, error) {
	rows, err := c.query(ctx, "SELECT CURRENT_USER()")
	if err != nil {
		return "", err
	}
	text := rows[0][0].text()
	at := max(strings.LastIndexByte(text, '@'), 0)
	return fmt.Sprintf("'%s'@'%s'", strings.ReplaceAll(text[:at], "'", "''"), text[at+1:]), nil
}

func (k *checker) version(context.Context) error {
	v, tested := k.set["version"], "10.11"
	if k.c.mysql {
		tested = "8.0"
	}
	if !strings.HasPrefix(v, tested+".") {
		k.warn("version", v, setting("the server's version %s is not one that was tested: %s is", v, tested))
		return nil
	}
	k.add("version", v, nil)
	return nil
}

func (k *checker) logged() bool { return k.set["log_bin"] == "ON" }

func (k *checker) log(context.Context) error {
	if k.logged() {
		k.add("binary log", "on", nil)
		return nil
	}
	k.add("binary log", "off", setting("log_bin is OFF, so changes are not logged and a snapshot has no place in a log").
		Try("add to the [mysqld] section of the server's configuration and restart it: log_bin=bin, binlog_format=ROW, server_id=1"))
	return nil
}

func (k *checker) format(context.Context) error {
	v := k.set["binlog_format"]
	if v == "ROW" || !k.logged() {
		k.add("binlog format", v, nil)
		return nil
	}
	k.add("binlog format", v, setting("binlog_format is %s, it must be ROW: a change logged as a statement does not say which rows it changed", v).
		Try("SET GLOBAL binlog_format = ROW; -- and in the server's configuration; sessions that are open keep the old one"))
	return nil
}

func (k *checker) image(context.Context) error {
	v := k.set["binlog_row_image"]
	var keyless []row.Name
	for _, t := range k.tables {
		if len(t.Key) == 0 {
			keyless = append(keyless, t.Name)
		}
	}
	switch {
	case v == "FULL" || !k.logged():
		k.add("row image", v, nil)
		return nil
	case len(keyless) == 0:
		k.warn("row image", v, setting("binlog_row_image is %s: an insert leaves out columns at their default, and what the log leaves out is absent in the target", v).
			Try("SET GLOBAL binlog_row_image = FULL; -- and in the server's configuration"))
		return nil
	}
	k.add("row image", v, setting("binlog_row_image is %s, but tables without a key need FULL: %s", v, named(keyless)).
		Try("SET GLOBAL binlog_row_image = FULL; -- and in the server's configuration"))
	return nil
}

func (k *checker) strict(context.Context) error {
	v := k.set["gtid_strict_mode"]
	if v == "ON" || !k.logged() {
		k.add("GTID strict mode", v, nil)
		return nil
	}
	k.warn("GTID strict mode", v, setting("gtid_strict_mode is %s: the server accepts transactions whose numbers go back, and a place in such a log cannot be found again on another server", v).
		Try("SET GLOBAL gtid_strict_mode = ON; -- and in the server's configuration"))
	return nil
}

func (k *checker) retention(ctx context.Context) error {
	if !k.logged() {
		return nil
	}
	log, err := k.s.keptLog(ctx, k.c)
	if fault.Has(err, fault.SourceGrants) {
		return nil // rights says so
	}
	if err != nil {
		return err
	}
	r, err := k.s.withBegun(ctx, log).retention(nil)
	if fault.Has(err, fault.SourceGrants) {
		return nil
	}
	if err != nil {
		return err
	}
	limit := "no limit is set"
	if r.Kept > 0 {
		limit = fmt.Sprintf("kept for %s (%s)", spanText(r.Kept), r.By)
	}
	detail := fmt.Sprintf("%s; reaches back %s to %[4]s, files: %[3]d", limit, spanText(r.Reach), len(log.files), log.files[0].name())
	if r.Kept > 0 && r.Kept < shortRetention {
		k.warn("log retention", detail, setting("the log is kept for %s only: a job that stops for longer loses its place", spanText(r.Kept)).Try("%s", r.Longer))
		return nil
	}
	k.add("log retention", detail, nil)
	return nil
}

// spanText is a span of time for people, to the second: 168h, 1h5m, 3s.
func spanText(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// filters looks for databases that the server does not log.
func (k *checker) filters(ctx context.Context) error {
	rows, err := masterStatus(ctx, k.c)
	if fault.Has(err, fault.SourceGrants) || err == nil && len(rows) == 0 {
		return nil // rights says so, or the log is off
	}
	if err != nil {
		return err
	}
	do, ignore := rows[0][2].text(), rows[0][3].text()
	spaces := map[string]bool{}
	for _, t := range k.tables {
		n := t.Name.Space
		if do != "" && !slices.Contains(strings.Split(do, ","), n) || slices.Contains(strings.Split(ignore, ","), n) {
			spaces[n] = true
		}
	}
	if len(spaces) == 0 {
		return nil
	}
	k.add("log filters", "binlog_do_db="+do+" binlog_ignore_db="+ignore,
		setting("changes of these databases are not logged: %s", strings.Join(slices.Sorted(maps.Keys(spaces)), ", ")).
			Try("remove binlog_do_db and binlog_ignore_db from the server's configuration and restart it"))
	return nil
}

// replica looks whether what this server replicates from another is logged here.
func (k *checker) replica(ctx context.Context) error {
	if k.set["log_slave_updates"] == "ON" || !k.logged() {
		return nil
	}
	ask := "SHOW ALL SLAVES STATUS"
	if k.c.mysql {
		ask = "SHOW REPLICA STATUS"
	}
	rows, err := k.c.query(ctx, ask)
	if fault.Has(err, fault.SourceGrants) || err == nil && len(rows) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	k.add("replica", "log_slave_updates=OFF", setting("the server is a replica and does not log what it replicates (log_slave_updates is OFF)").
		Try("add log_slave_updates=ON to the server's configuration and restart it, or read from the primary"))
	return nil
}

func (k *checker) packet(context.Context) error {
	n, _ := strconv.ParseInt(k.set["max_allowed_packet"], 10, 64)
	k.add("max_allowed_packet", fmt.Sprintf("%d MiB", n>>20), nil)
	return nil
}

// grants tries every table: that is the one test that roles, column grants and
// wildcards cannot fool.
func (k *checker) grants(ctx context.Context) error {
	refused := map[string][]row.Name{}
	for _, t := range k.tables {
		err := k.c.exec(ctx, "SELECT * FROM "+tableName(t.Name)+" LIMIT 0")
		switch {
		case err == nil:
		case fault.Has(err, fault.SourceGrants):
			refused[t.Name.Space] = append(refused[t.Name.Space], t.Name)
		case fault.Has(err, fault.SourceShape):
			k.warn("tables", t.Name.String(), fault.Of(err))
		default:
			return err
		}
	}
	if len(refused) == 0 {
		k.add("SELECT", "on all tables that are chosen", nil)
		return nil
	}
	for _, space := range slices.Sorted(maps.Keys(refused)) {
		k.add("SELECT", named(refused[space]), fault.New(fault.SourceGrants, "the user may not read these tables: %s", named(refused[space])).
			Try("GRANT SELECT ON %s.* TO %s;", quoteName(space), k.user))
	}
	return nil
}

// rights looks for the privileges of following the log among the user's grants.
func (k *checker) rights(ctx context.Context) error {
	if !k.logged() {
		return nil
	}
	held := map[string]bool{}
	err := k.c.each(ctx, "SHOW GRANTS", func(v []value) error {
		rest, ok := strings.CutPrefix(v[0].text(), "GRANT ")
		list, _, global := strings.Cut(rest, " ON *.* TO ")
		if ok && global {
			for p := range strings.SplitSeq(list, ",") {
				held[strings.TrimSpace(p)] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	follow := []string{"BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"}
	if k.c.mysql {
		follow = []string{"REPLICATION CLIENT", "SUPER"}
	}
	var missing []string
	for _, p := range [][]string{{"REPLICATION SLAVE"}, follow} {
		if !held["ALL PRIVILEGES"] && !slices.ContainsFunc(p, func(n string) bool { return held[n] }) {
			missing = append(missing, p[0])
		}
	}
	if len(missing) == 0 {
		k.add("log privileges", "REPLICATION SLAVE, "+follow[0], nil)
		return nil
	}
	list := strings.Join(missing, ", ")
	k.add("log privileges", "missing: "+list, fault.New(fault.SourceGrants, "the user may not follow the log: it lacks %s", list).
		Try("GRANT %s ON *.* TO %s;", list, k.user))
	return nil
}

// engines finds tables that no snapshot covers.
func (k *checker) engines(ctx context.Context) error {
	chosen := map[row.Name]*row.Table{}
	spaces := map[string]bool{}
	for _, t := range k.tables {
		chosen[t.Name] = t
		spaces[t.Name.Space] = true
	}
	var keyed, keyless []row.Name
	for _, space := range slices.Sorted(maps.Keys(spaces)) {
		err := k.c.each(ctx, "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = "+quoteText(space), func(v []value) error {
			t := chosen[row.Name{Space: space, Table: v[0].text()}]
			switch {
			case t == nil || v[1].text() == "InnoDB":
			case len(t.Key) == 0:
				keyless = append(keyless, t.Name)
			default:
				keyed = append(keyed, t.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(keyless) > 0 {
		k.add("engines", named(keyless), setting("no snapshot covers tables of this engine, and without a key rows read twice cannot be told apart: %s", named(keyless)).
			Try("ALTER TABLE %s ENGINE=InnoDB;", tableName(keyless[0])))
	}
	if len(keyed) > 0 {
		k.warn("engines", named(keyed), setting("no snapshot covers tables of this engine: rows may be newer than the mark of their chunk; the table is right once the stream has passed the end of the copy: %s", named(keyed)).
			Try("ALTER TABLE %s ENGINE=InnoDB;", tableName(keyed[0])))
	}
	return nil
}

func (k *checker) keys(context.Context) error {
	var names []row.Name
	for _, t := range k.tables {
		if len(t.Key) == 0 {
			names = append(names, t.Name)
		}
	}
	if len(names) > 0 {
		k.warn("keys", named(names), setting("tables without a key are read as one chunk, from the beginning after a crash: %s", named(names)).
			Try("ALTER TABLE %s ADD PRIMARY KEY (…);", tableName(names[0])))
	}
	return nil
}

// cascades tells which tables a foreign key may change unseen, and by which others. What
// the user may not read of those that are not chosen cannot be told apart.
func (k *checker) cascades(ctx context.Context) error {
	chosen := map[row.Name]bool{}
	for _, t := range k.tables {
		chosen[t.Name] = true
	}
	var pairs []string
	outside := map[row.Name]bool{}
	for _, t := range k.tables {
		for _, p := range t.Parents {
			text := p.Name.String()
			if !chosen[p.Name] {
				outside[p.Name] = true
				text += " (not chosen)"
			}
			pairs = append(pairs, text+" → "+t.Name.String())
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	slices.Sort(pairs)
	list := clipList(pairs)
	k.warn("foreign keys", list, fault.New(fault.ResyncNeeded, "the log does not carry rows that a foreign key changes along: %s", list).
		Try("delete the children first in the application, or expect these tables to need a resync"))
	return k.parents(ctx, slices.SortedFunc(maps.Keys(outside), compareNames))
}

// parents looks whether the user may read parents that are not chosen.
func (k *checker) parents(ctx context.Context, names []row.Name) error {
	for _, n := range names {
		err := k.c.exec(ctx, "SELECT * FROM "+tableName(n)+" LIMIT 0")
		switch {
		case err == nil, fault.Has(err, fault.SourceShape):
		case fault.Has(err, fault.SourceGrants):
			k.warn("foreign keys", n.String(), fault.New(fault.SourceGrants, "the user may not read %s, so any update of it marks its children, and foreign keys of its own are not seen", n).
				Try("GRANT SELECT ON %s TO %s;", tableName(n), k.user))
		default:
			return err
		}
	}
	return nil
}

// xa lists transactions that are prepared and open: the log must be kept from where
// they were prepared, and they hold locks.
func (k *checker) xa(ctx context.Context) error {
	names, err := openXA(ctx, k.c)
	var e *serverError
	if errors.As(err, &e) && e.code == errXARefused {
		return nil // MySQL asks for a privilege that reading does not need
	}
	if err != nil || len(names) == 0 {
		return err
	}
	slices.Sort(names)
	k.warn("XA", clipList(names), fault.New(fault.SourceXA, "%d XA transactions are prepared and neither committed nor rolled back; their rows come with the commit, and the log must be kept until then", len(names)).
		Try("XA COMMIT %s; -- or XA ROLLBACK, when nothing else will do it", names[0]))
	return nil
}

// named lists tables for people.
func named(names []row.Name) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = n.String()
	}
	return clipList(texts)
}

func clipList(texts []string) string {
	if len(texts) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(texts[:maxNamed], ", "), len(texts)-maxNamed)
	}
	return strings.Join(texts, ", ")
}
