package postgres

import (
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"godwit/internal/connector/tlsmode"
	"godwit/internal/fault"
	"godwit/internal/option"
	"godwit/internal/secret"
)

// defaultPort is where a server listens when the address has no port.
const defaultPort = "5432"

// What becomes of a value that the target's type does not know, such as the date
// 0000-00-00.
const (
	unrepresentableText  = "text"
	unrepresentableNull  = "null"
	unrepresentableError = "error"
)

// What columns of JSON are.
const (
	jsonText   = "json"
	jsonBinary = "jsonb"
)

// What becomes of a table that was dropped in the source.
const (
	dropKeep = "keep"
	dropDrop = "drop"
)

func options() []option.Field {
	return []option.Field{
		{Name: "address", Kind: option.Text, Help: "Host and port of the server; the port is 5432 when it is left out. Give either this or `socket`.", Example: "127.0.0.1:5432"},
		{Name: "socket", Kind: option.Text, Machine: option.DataPath, Help: "Path of the server's unix socket, instead of `address`.", Example: "/run/postgresql/.s.PGSQL.5432"},
		{Name: "database", Kind: option.Text, Required: true, Help: "The database to write to. Its encoding must be UTF8.", Example: "shop"},
		{Name: "user", Kind: option.Text, Required: true, Help: "The user to log in as. It needs CREATE on the database, or on the schemas that are there already.", Example: "godwit"},
		{Name: "password", Kind: option.Secret, Live: true, Help: "The user's password, best as a reference.", Example: "${env:LAKE_PASSWORD}"},
		tlsmode.Field(true),
		{Name: "schema", Kind: option.Text, Help: "The schema of all tables. Left out, each table is in the schema that has the name of its database in the source.", Example: "shop"},
		{Name: "control_schema", Kind: option.Text, Default: "godwit", Help: "The schema of godwit's own tables, which hold the positions. Several jobs may share it."},
		{Name: "unrepresentable", Kind: option.Enum, Default: unrepresentableError, Values: []string{unrepresentableText, unrepresentableNull, unrepresentableError},
			Help: "What becomes of dates and times that PostgreSQL does not know, such as `0000-00-00`. `error`: the row is refused. `null`: the cell is null. `text`: columns of dates and times are of type text and hold what the source prints."},
		{Name: "json", Kind: option.Enum, Default: jsonText, Values: []string{jsonText, jsonBinary},
			Help: "The type of JSON columns. `json` keeps the text as it is. `jsonb`, in tables with a key, keeps what it says: it can be indexed, and `verify` compares it by what it says."},
		{Name: "on_drop", Kind: option.Enum, Default: dropKeep, Live: true, Values: []string{dropKeep, dropDrop},
			Help: "What becomes of a table that was dropped in the source. `keep`: it stays and is empty. `drop`: it is dropped."},
		{Name: "commit", Kind: option.Object, Live: true, Help: "When commits are made, at the first end of a transaction after it.", Fields: []option.Field{
			{Name: "every", Kind: option.Duration, Default: time.Second, Min: int64(10 * time.Millisecond), Max: int64(time.Hour), Live: true, Help: "After this time."},
			{Name: "size", Kind: option.Size, Default: int64(32 << 20), Min: 64 << 10, Max: 64 << 30, Live: true, Help: "After as many bytes."},
		}},
		{Name: "lock_timeout", Kind: option.Duration, Default: 10 * time.Second, Min: int64(10 * time.Millisecond), Max: int64(time.Hour), Live: true,
			Help: "How long to wait for a lock. A session of an older run of this job that holds one for longer is ended."},
		{Name: "statement_timeout", Kind: option.Duration, Default: 30 * time.Minute, Min: int64(time.Second), Max: int64(24 * time.Hour), Live: true, Help: "How long one statement may take."},
		{Name: "connect_timeout", Kind: option.Duration, Default: 10 * time.Second, Min: int64(100 * time.Millisecond), Max: int64(15 * time.Second), Live: true, Help: "How long to try to connect and log in."},
	}
}

// config is what the options say.
type config struct {
	host     string // or the folder of the unix socket
	port     uint16
	unix     bool
	database string
	user     string
	password secret.Text
	tls      tlsmode.Config

	schema          string // "": the database of the source
	control         string
	unrepresentable string
	json            string
	onDrop          string
	every           time.Duration
	bytes           int64
	lock            time.Duration
	statement       time.Duration
	connect         time.Duration

	net dialer // nil: the network
}

func readConfig(v option.Values) (config, error) {
	commit := v.Object("commit")
	c := config{
		database: v.Text("database"), user: v.Text("user"), password: v.Secret("password"),
		schema: v.Text("schema"), control: v.Text("control_schema"), unrepresentable: v.Text("unrepresentable"), onDrop: v.Text("on_drop"), json: v.Text("json"),
		every: commit.Duration("every"), bytes: commit.Int("size"),
		lock: v.Duration("lock_timeout"), statement: v.Duration("statement_timeout"), connect: v.Duration("connect_timeout"),
	}
	for _, name := range []string{"schema", "control_schema"} {
		if n := len(v.Text(name)); n > maxName {
			return c, fault.New(fault.JobValue, "%s has a name of %d bytes, and PostgreSQL keeps %d", name, n, maxName).At("%s", v.Place(name))
		}
	}
	address, socket := v.Text("address"), v.Text("socket")
	switch {
	case (address == "") == (socket == ""):
		return c, fault.New(fault.JobValue, "the sink needs either address or socket").At("%s", v.Place("address")).Try("address: 127.0.0.1:%s", defaultPort)
	case socket != "":
		port, ok := strings.CutPrefix(filepath.Base(socket), ".s.PGSQL.")
		n, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil {
			return c, fault.New(fault.JobValue, "socket %q is not named as PostgreSQL names its sockets", socket).At("%s", v.Place("socket")).
				Try("socket: /run/postgresql/.s.PGSQL.%s", defaultPort)
		}
		c.host, c.port, c.unix = filepath.Dir(socket), uint16(n), true
	default:
		host, port, err := splitAddress(address)
		if err != nil {
			return c, fault.New(fault.JobValue, "address %q is not of the form host:port", address).At("%s", v.Place("address")).By(err).
				Try("address: 127.0.0.1:%s", defaultPort)
		}
		c.host, c.port = host, port
	}
	var err error
	c.tls, err = tlsmode.Read(v.Object("tls"), c.host, c.unix, fault.TargetTLS)
	return c, err
}

// splitAddress takes host, host:port, ::1 and [::1]:port.
func splitAddress(s string) (host string, port uint16, err error) {
	text := defaultPort
	if strings.Contains(s, ":") && net.ParseIP(s) == nil {
		if host, text, err = net.SplitHostPort(s); err != nil {
			return "", 0, err
		}
	} else {
		host = s
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("the port is a number from 1 to 65535")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, uint16(n), nil
}

// where names the target in errors and for people.
func (c config) where() string {
	if c.unix {
		return filepath.Join(c.host, ".s.PGSQL."+strconv.Itoa(int(c.port))) + "/" + c.database
	}
	return net.JoinHostPort(c.host, strconv.Itoa(int(c.port))) + "/" + c.database
}
