package sourcetest

import "strings"

// MySQL is the dialect of MySQL 8.0.
func MySQL() Dialect {
	d := MariaDB()
	var columns []Column
	for _, c := range d.Columns {
		if !strings.HasPrefix(c.Type, "JSON") {
			columns = append(columns, c)
		}
	}
	d.Columns = columns
	d.Impatient = "SET GLOBAL net_write_timeout = 2, GLOBAL replica_net_timeout = 10"
	return d
}
