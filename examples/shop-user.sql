-- The account that examples/shop.yaml uses, with the least it needs: to read the
-- tables, and to read the binlog as a replica does.
CREATE USER godwit@'127.0.0.1' IDENTIFIED BY 'choose-your-own';
GRANT SELECT ON shop.* TO godwit@'127.0.0.1';
GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO godwit@'127.0.0.1';
