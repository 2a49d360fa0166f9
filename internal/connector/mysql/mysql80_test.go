package mysql

import (
	"testing"

	"godwit/internal/connector/sourcetest"
	"godwit/test/servers/mysql"
)

func TestMySQL_when_the_kit_runs(t *testing.T) {
	for name, options := range map[string][]string{
		"GTID":       nil,
		"no GTID":    mysql.NoGTID,
		"compressed": {"--binlog-transaction-compression=ON"},
		"full names": {"--binlog-row-metadata=FULL"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Harness{
				Start: func(t testing.TB) sourcetest.Server { return kitServer{mysql.Start(t, options...)} },
				Open:  openForKit, Dialect: sourcetest.MySQL(),
			})
		})
	}
}
