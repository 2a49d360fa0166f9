package sourcetest

// MySQL is the dialect of MySQL 8.0.
func MySQL() Dialect {
	d := MariaDB()
	d.Impatient = "SET GLOBAL net_write_timeout = 2, GLOBAL replica_net_timeout = 10"
	return d
}
