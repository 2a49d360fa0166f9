package mysql

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"godwit/internal/fault"
	"godwit/internal/row"
)

// gtids looks whether a place can be found again on another server.
func (k *checker) gtids(context.Context) error {
	v := k.set["gtid_mode"]
	if v == "ON" || !k.logged() {
		k.add("GTIDs", v, nil)
		return nil
	}
	k.warn("GTIDs", v, setting("gtid_mode is %s: a place in such a log cannot be found again on another server", v).
		Try("SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON; -- and in the server's configuration"))
	return nil
}

// order looks whether transactions are committed in the order in which the log has
// them: what is committed is then the log up to a place.
func (k *checker) order(context.Context) error {
	if v := k.set["binlog_order_commits"]; v != "ON" && k.logged() {
		k.add("commit order", v, setting("binlog_order_commits is %s: transactions are committed in another order than they stand in the log", v).
			Try("SET GLOBAL binlog_order_commits = ON; -- and in the server's configuration"))
		return nil
	}
	k.add("commit order", "as in the log", nil)
	return nil
}

// documents looks for changes of JSON that are logged without what they change.
func (k *checker) documents(context.Context) error {
	v := k.set["binlog_row_value_options"]
	if v == "" || !k.logged() {
		return nil
	}
	if k.set["binlog_row_image"] == "FULL" {
		k.add("JSON", v, nil)
		return nil
	}
	f := setting("binlog_row_value_options is PARTIAL_JSON and binlog_row_image is %s: the log has what changed of a document, not the document, and tables with such changes need a resync", k.set["binlog_row_image"]).
		Try("SET GLOBAL binlog_row_value_options = ''; -- and in the server's configuration; sessions that are open keep the old one")
	for _, t := range k.tables {
		if slices.ContainsFunc(t.Columns, func(c row.Column) bool { return c.Type.Kind == row.JSON }) {
			k.add("JSON", v, f)
			return nil
		}
	}
	k.warn("JSON", v, f)
	return nil
}

// locks tries to lock one table of each database, for an instant, as reading chunks
// does. Without the right only tables that are quiet now and then can be read, and
// none without GTIDs.
func (k *checker) locks(ctx context.Context) error {
	one := map[string]row.Name{}
	for _, t := range k.tables {
		one[t.Name.Space] = t.Name
	}
	if err := k.c.exec(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", lockWait)); err != nil {
		return err
	}
	refused := false
	for _, space := range slices.Sorted(maps.Keys(one)) {
		err := k.c.exec(ctx, "LOCK TABLES "+tableName(one[space])+" READ")
		switch {
		case err == nil:
			err = k.c.exec(ctx, "UNLOCK TABLES")
		case fault.Has(err, fault.SourceGrants):
			refused = true
			k.add("LOCK TABLES", space, lockRefused(one[space], k.user))
			k.found[len(k.found)-1].Warn = k.set["gtid_mode"] == "ON"
			continue
		case fault.Has(err, fault.SourceBusy), fault.Has(err, fault.SourceShape):
			continue // a lock that somebody holds is none that may not be had
		}
		if err != nil {
			return err
		}
	}
	if !refused {
		k.add("LOCK TABLES", fmt.Sprintf("databases: %d", len(one)), nil)
	}
	return nil
}
