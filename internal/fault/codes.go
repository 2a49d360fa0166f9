package fault

// Code is a stable name of a kind of error. Codes are never renamed.
type Code string

// Exit codes of the command line.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitRequest     = 2 // usage, job file
	ExitEnvironment = 3 // a store is unreachable or refuses
	ExitNotWhole    = 4 // finished, but something is missing or differs
)

// Codes. Their meaning is in Catalogue.
const (
	Internal          Code = "INTERNAL"
	Usage             Code = "USAGE"
	JobSyntax         Code = "JOB_SYNTAX"
	JobField          Code = "JOB_FIELD"
	JobValue          Code = "JOB_VALUE"
	JobMissing        Code = "JOB_MISSING"
	JobSecret         Code = "JOB_SECRET"
	JobVersion        Code = "JOB_VERSION"
	JobEdit           Code = "JOB_EDIT"
	JobParam          Code = "JOB_PARAM"
	StateLocked       Code = "STATE_LOCKED"
	StateBroken       Code = "STATE_BROKEN"
	ConfirmNeeded     Code = "CONFIRM_NEEDED"
	SourceUnreachable Code = "SOURCE_UNREACHABLE"
	SourceAuth        Code = "SOURCE_AUTH"
	SourceTLS         Code = "SOURCE_TLS"
	SourceGrants      Code = "SOURCE_GRANTS"
	SourceSettings    Code = "SOURCE_SETTINGS"
	SourceBusy        Code = "SOURCE_BUSY"
	SourceQuery       Code = "SOURCE_QUERY"
	SourceProtocol    Code = "SOURCE_PROTOCOL"
	SourceShape       Code = "SOURCE_SHAPE"
	SourceType        Code = "SOURCE_TYPE"
	SourceLost        Code = "SOURCE_LOST"
	SourceDiverged    Code = "SOURCE_DIVERGED"
	SourceMoved       Code = "SOURCE_MOVED"
	SourceXA          Code = "SOURCE_XA"
	SourceStatement   Code = "SOURCE_STATEMENT"
	NoTables          Code = "NO_TABLES"
	ResyncNeeded      Code = "RESYNC_NEEDED"
	TargetUnreachable Code = "TARGET_UNREACHABLE"
	TargetAuth        Code = "TARGET_AUTH"
	TargetTLS         Code = "TARGET_TLS"
	TargetNotOurs     Code = "TARGET_NOT_OURS"
	TargetRefused     Code = "TARGET_REFUSED"
	TargetFull        Code = "TARGET_FULL"
	TargetFailed      Code = "TARGET_FAILED"
	TargetLost        Code = "TARGET_LOST"
	TargetBroken      Code = "TARGET_BROKEN"
	TargetNoExclusive Code = "TARGET_NO_EXCLUSIVE"
	RowRefused        Code = "ROW_REFUSED"
	SinkSlow          Code = "SINK_SLOW"
	FencedOff         Code = "FENCED"
	FormatNewer       Code = "FORMAT_NEWER"
	CheckFailed       Code = "CHECK_FAILED"
	WorkerLost        Code = "WORKER_LOST"

	JobUnknown     Code = "JOB_UNKNOWN"
	VersionUnknown Code = "VERSION_UNKNOWN"
	TableUnknown   Code = "TABLE_UNKNOWN"
	TaskUnknown    Code = "TASK_UNKNOWN"
	AlarmUnknown   Code = "ALARM_UNKNOWN"
	TokenUnknown   Code = "TOKEN_UNKNOWN"
	NoTemplate     Code = "TEMPLATE_UNKNOWN"
	NameTaken      Code = "NAME_TAKEN"
	VersionChanged Code = "VERSION_CHANGED"
	NotNow         Code = "NOT_NOW"
	NotAllowed     Code = "NOT_ALLOWED_HERE"
	NotVerifiable  Code = "NOT_VERIFIABLE"
	BadRequest     Code = "BAD_REQUEST"
	TooMany        Code = "TOO_MANY_REQUESTS"
	TokenMissing   Code = "TOKEN_MISSING"
	TokenRefused   Code = "TOKEN_REFUSED"
	ServerGone     Code = "SERVER_GONE"

	StoreUnreachable Code = "STORE_UNREACHABLE"
	StoreAuth        Code = "STORE_AUTH"
	StoreMissing     Code = "STORE_MISSING"
	StoreRefused     Code = "STORE_REFUSED"
	StoreBusy        Code = "STORE_BUSY"
	StoreFailed      Code = "STORE_FAILED"
	StoreProtocol    Code = "STORE_PROTOCOL"

	SourceChanged    Code = "SOURCE_CHANGED"
	SourceGone       Code = "SOURCE_GONE"
	SourceRefused    Code = "SOURCE_REFUSED"
	NotAFile         Code = "NOT_A_FILE"
	NameRefused      Code = "NAME_REFUSED"
	NameClash        Code = "NAME_CLASH"
	Corrupt          Code = "CORRUPT"
	TooManyDeletes   Code = "TOO_MANY_DELETES"
	ObjectsFailed    Code = "OBJECTS_FAILED"
	DifferencesFound Code = "DIFFERENCES_FOUND"
)

// Info is what the catalogue knows of a code.
type Info struct {
	Code  Code
	Class Class
	Exit  int
	Short string // one line
	Long  string // what it means and what to do: godwit explain CODE, docs/errors.md
}

// Info returns the catalogue's entry; an unknown code counts as Internal.
func (c Code) Info() Info {
	for _, i := range Catalogue {
		if i.Code == c {
			return i
		}
	}
	return Catalogue[0]
}

// Catalogue lists every code once. docs/errors.md is generated from it.
var Catalogue = []Info{
	{Internal, Fatal, ExitFailed, "a defect in godwit", "Something happened that the program did not foresee. Nothing that was committed is harmed: positions and data are committed as one. Please report the message with the job file (secrets removed) and the log from the state folder."},
	{Usage, User, ExitRequest, "wrong words on the command line", "The command, a flag or an argument is not known or does not fit. The message names the nearest one that exists; `godwit help` lists them all."},
	{JobSyntax, User, ExitRequest, "the job file is not YAML", "The file could not be parsed. The message gives line and column; the mistake is there or just before it (indentation, a missing quote or bracket)."},
	{JobField, User, ExitRequest, "an unknown key in the job file", "Keys are checked strictly, because a misspelt option that is silently ignored is worse than an error. The message names the nearest known key and all keys that may stand there. The reference is docs/job-reference.md."},
	{JobValue, User, ExitRequest, "a value in the job file does not fit", "The value has the wrong type, is out of range, or contradicts another one. The message says what was expected."},
	{JobMissing, User, ExitRequest, "a required key is missing", "Add the key. The message gives the place where it belongs."},
	{JobSecret, User, ExitRequest, "a secret reference cannot be resolved", "A `${env:NAME}` names a variable that is not set, or a `${file:PATH}` a file that cannot be read. Set the variable in the environment of godwit, or mend the path."},
	{JobVersion, User, ExitRequest, "the job file is for a newer godwit", "`version` is higher than this program knows. Use a newer godwit, or the older form of the file."},
	{JobEdit, User, ExitRequest, "an edit of the job cannot be applied to what is already there", "The target was written under other settings that cannot be changed in place. The message names the setting. Take the edit back, or start a new generation: `godwit run --again`; on a server `godwit job stop`, `reset` and `start`. Where layout, format or path of files was changed only another folder helps: name one as well, and read everything again."},
	{JobParam, User, ExitRequest, "a parameter of a template does not fit", "`${param:NAME}` stands for a parameter of a template. It has no value, is not declared, does not fit where it stands, or the file is a job and no template. The message gives the place, or the parameter. docs/server.md tells of templates."},
	{StateLocked, User, ExitFailed, "another process uses this state folder", "A run of this job, a server or a command holds the lock of the state folder. Wait for it, stop it, or use another `--state`. The lock goes away by itself when its process ends."},
	{StateBroken, User, ExitEnvironment, "the state folder cannot be used", "It cannot be created, read or written. The state of `godwit run` is only a cache of progress: deleting the folder is always safe, the next run finds its place in the target. That of `godwit serve` (`server.db`) is not: it is all that is known of the jobs of a server."},
	{ConfirmNeeded, User, ExitRequest, "an act that must be confirmed was not", "The command reads everything again, writes to targets, loses work, or changes jobs. Say it with the flag the message names, or answer the question on a terminal."},
	{SourceUnreachable, Retry, ExitEnvironment, "the source does not answer", "No connection to the address could be made, or it broke. At the start this ends `godwit run`; while running it is retried with back-off, on a server always and for as long as it takes. Check address, port, firewall and whether the server is up."},
	{SourceAuth, User, ExitEnvironment, "the source refuses user or password", "The server answered and refused the login. Check user, password and from which host the user may connect."},
	{SourceTLS, User, ExitEnvironment, "no TLS connection to the source", "The server offers no TLS, or its certificate does not fit. Check `tls.mode`, `tls.ca` and the name in the certificate."},
	{SourceGrants, User, ExitEnvironment, "the user lacks a privilege on the source", "The message has the GRANT statement that mends it. Reading rows needs SELECT, the log REPLICATION SLAVE and its position BINLOG MONITOR (REPLICATION CLIENT)."},
	{SourceSettings, User, ExitEnvironment, "a setting of the source does not allow this job", "The log is off, lacks what is needed, or is not in row format. The message names the variable, its value and what it must be. Nothing is read until it is right, because changes would be missed silently."},
	{SourceBusy, Retry, ExitFailed, "the source is too busy at the moment", "Too many connections, a lock wait, or a query that was killed. Retried with back-off."},
	{SourceQuery, Retry, ExitFailed, "a query on the source failed", "The server refused or broke off a query. The cause is the server's own text. Retried with back-off, as many such errors pass: by `godwit run` a few times, on a server until it passes."},
	{SourceProtocol, Fatal, ExitFailed, "the source sent something that cannot be understood", "A packet or log event does not have the form it should have. Nothing after it was taken over. If the server is of a version that docs/sources.md lists, please report it."},
	{SourceShape, Retry, ExitFailed, "the table changed while it was read", "A schema change ran between two reads. The chunk is read again under a new mark."},
	{SourceType, User, ExitRequest, "a column type is not supported", "The column has a type this version does not move, or the table is system-versioned. Leave the table out with a leading ! in `tables`: rules choose columns only of what can be read. docs/connectors/mysql.md lists the types."},
	{SourceLost, Lost, ExitFailed, "the source's log no longer reaches back far enough", "The log was purged past the place the target has reached, so changes are missing for good. The target stays exact up to its position. Raise the log's retention and read everything again: `godwit run --again`; on a server `godwit job stop`, `reset` and `start`."},
	{SourceDiverged, Lost, ExitFailed, "the source has another history", "The server's log does not continue what the target holds: it was reset, restored from a backup, or a replica was promoted that lacks transactions. Going on would mix two histories. Point the job at the right server, or read everything again: `godwit run --again`; on a server `godwit job stop`, `reset` and `start`."},
	{SourceMoved, Retry, ExitFailed, "the address leads to another server now", "Another server took over while its log was read. What reads the log begins again and seeks its place in that of the new server; when that has another history it ends with SOURCE_DIVERGED."},
	{SourceXA, User, ExitNotWhole, "the rows of an XA transaction cannot be found", "The rows of an XA transaction belong to its XA COMMIT and are read where it was prepared. That part of the log is gone, or the table's shape changed in between. The table is marked `resync needed` at the place given. As a warning of `godwit check`: transactions are prepared and open; the log must be kept from where they were prepared."},
	{SourceStatement, User, ExitNotWhole, "a change was logged as a statement", "The log has only the text of the statement, not its rows. It is not executed and not guessed: the table is marked `resync needed`. Set binlog_format=ROW for all writers."},
	{NoTables, User, ExitRequest, "no table matches", "No table of the source matches `tables`, or none that the user may see. Patterns are `database.table` with * and ?, a leading ! leaves out."},
	{ResyncNeeded, User, ExitNotWhole, "finished, but some tables need a resync", "The log did not carry some change of these tables (the message says which), so they stopped at an exact earlier place. All others are whole. Read everything again with `godwit run --again`, or on a server these tables alone with `godwit job resync`."},
	{TargetUnreachable, Retry, ExitEnvironment, "the target does not answer", "No connection to the address could be made, or it broke. At the start this ends the run; while running it is retried with back-off, from the last commit. Check address, port and firewalls, and that the server runs. A database server that is a standby counts as one that does not answer: while servers change their roles that passes."},
	{TargetAuth, User, ExitEnvironment, "the target refuses user or password", "The server answered and refused the login. Check user, password, database and from which host the user may connect."},
	{TargetTLS, User, ExitEnvironment, "no TLS connection to the target", "The server offers no TLS, or its certificate does not fit. Check `tls.mode`, `tls.ca` and the name in the certificate."},
	{TargetNotOurs, User, ExitEnvironment, "the target is not empty and does not belong to this job", "godwit writes only into an empty folder or one it prepared for the same job, so that it never mixes with or overwrites what is not its own. Give an empty folder."},
	{TargetRefused, User, ExitEnvironment, "the target cannot be written", "Permission is missing or the target is read-only. Nothing was half-written; after mending it, run again."},
	{TargetFull, User, ExitEnvironment, "the target is full", "There is no space (or quota, or inodes) left. What was committed is whole, the rest was not made visible. Free space and run again: it goes on from the last commit."},
	{TargetFailed, Retry, ExitFailed, "writing to the target failed", "An I/O error. The writer was closed and what was not committed is dropped; retried from the last commit."},
	{TargetLost, Lost, ExitFailed, "something committed is missing in the target", "A staged or control file that a commit names is gone: something else deleted it. godwit stops rather than guess. Restore it, or write to a new target."},
	{TargetBroken, Fatal, ExitFailed, "a control file of the target cannot be read", "A record in the control folder is damaged or was changed by something else. Restore it from a backup, or write to a new target."},
	{TargetNoExclusive, User, ExitEnvironment, "the target cannot create a file exclusively", "Exactly-once needs a store where, of two writers creating the same name, one is refused. A probe showed that this one does not refuse."},
	{RowRefused, User, ExitFailed, "a row cannot be taken as it is", "The target has no room for a value of the row (too large, a date it does not know, a byte it cannot hold), or a transformation of the job failed on it. The message names table, key, column and value. Mend the row in the source, choose another `unrepresentable` for the column, change the transformation, or let such rows be put aside: `on_error: discard_after`."},
	{SinkSlow, Retry, ExitFailed, "a sink keeps the others waiting", "All sinks of a job are given what is read once. This one had work for longer than the others are to wait, so it goes on alone, with a reader of its own, until it has caught up. Nothing is lost. If it happens again and again, the target is too slow for the changes of the source."},
	{FencedOff, Fenced, ExitFailed, "a newer run took over", "Another run of the same job, started later, owns the target now. This one ended; nothing it had not committed was written. This is how two runs at once stay exact."},
	{FormatNewer, User, ExitEnvironment, "written by a newer godwit", "The state, target or record was written in a format this version does not know. It was not touched. Use the newer godwit."},
	{CheckFailed, User, ExitEnvironment, "some checks did not pass", "`godwit check` (or `godwit job check --deep`) found what would stop or spoil a run. A line has the command that mends it, where there is one."},
	{WorkerLost, Retry, ExitFailed, "a worker is not heard of any more", "The process that carried a task ended, or cannot be reached. The task is started again, elsewhere where there are others; should the lost worker still write, the target refuses it."},
	{JobUnknown, User, ExitRequest, "no such job", "No job of this name lives on the server (or it was deleted). `godwit job list` shows those that do."},
	{VersionUnknown, User, ExitRequest, "no such version", "The job has no version of this number. `godwit job versions JOB` lists those it has."},
	{TableUnknown, User, ExitRequest, "no such table", "The job moves no table of this name. `godwit tables JOB` lists those it moves, in the spelling that is taken: `database.table`."},
	{TaskUnknown, User, ExitRequest, "no such task", "The job has no task with this id, or not any more. `godwit job tasks JOB` lists those it has."},
	{AlarmUnknown, User, ExitRequest, "no such alarm", "No alarm has this id, or it was resolved so long ago that it is forgotten. `godwit job alarms --all` lists those that are known."},
	{TokenUnknown, User, ExitRequest, "no such token", "No token has this name. `godwit token list` shows those there are."},
	{NoTemplate, User, ExitRequest, "no such template", "The server has no template of this name (or it was deleted). `godwit template list` shows those that it has."},
	{NameTaken, User, ExitRequest, "a job or template of this name is here already", "A job's name is what its targets belong to, so a second one is refused. Edit the job, choose another name, or delete the old one; what it wrote stays. Templates have names of their own."},
	{VersionChanged, User, ExitRequest, "the job file was changed meanwhile", "Somebody else edited the job after the version that was edited here. Look at the new version and edit again; nothing was changed."},
	{NotNow, User, ExitRequest, "not possible in this state", "The job, table or task is in a state that does not allow the act. The message says which, and what to do first."},
	{NotAllowed, User, ExitRequest, "not allowed on this server", "A job that is submitted may read variables, secret files and local paths only as far as the server was started with --allow-env, --secrets and --data. Ask whoever runs the server, or write the job otherwise."},
	{NotVerifiable, User, ExitRequest, "what the job moves cannot be compared", "Rows of this table cannot be compared in this sink: its files cannot be read back, rows that were changed or deleted since are among those that were appended to it, or a column has had another type since rows of it were written. The message says which. All other tables are compared."},
	{BadRequest, User, ExitRequest, "the request is not understood", "A parameter or the body does not have the form the API asks for. The message names the field. The contract is at /api/v1/openapi.yaml."},
	{TooMany, Retry, ExitEnvironment, "too many requests", "The server bounds how many requests a token may send, and how many it works on at once. Wait as long as the answer says."},
	{TokenMissing, User, ExitRequest, "no token", "The server answers only to those who show a token: `godwit token create` makes one on the server's machine; give it as GODWIT_TOKEN or in the file that --token-file names."},
	{TokenRefused, User, ExitRequest, "the token does not allow this", "The token is unknown, expired or revoked, or its role is `read` and the act changes something. `godwit token list` shows the tokens."},
	{ServerGone, Retry, ExitEnvironment, "the server does not answer", "No connection to the address could be made, or it broke. Check --server, and that `godwit serve` runs."},
	{StoreUnreachable, Retry, ExitEnvironment, "a store does not answer", "No connection to the address could be made, or it broke. At the start this ends the run; while running it is retried with back-off. Check the endpoint, its scheme (http or https) and port, proxies and firewalls."},
	{StoreAuth, User, ExitEnvironment, "a store refuses the credentials", "The keys are unknown, expired or wrong, or the clock of this machine is too far off. The message says where the credentials were taken from."},
	{StoreMissing, User, ExitEnvironment, "a bucket, or the folder of a source, does not exist", "The endpoint answered, but has no bucket of this name: check its name, region and endpoint; godwit makes no buckets. Or the source of a file job is a folder that is not there: check the path, and that what is to be there is mounted. It is not taken for an empty one, which a mirror would follow."},
	{StoreRefused, User, ExitEnvironment, "a store refuses a request", "The credentials are right but lack a permission, or a policy forbids the request. The cause is the store's own text; the message names the permission that is usually missing."},
	{StoreBusy, Retry, ExitFailed, "a store asks to slow down", "It answered 503, 429 or SlowDown. Retried with back-off and fewer requests at once."},
	{StoreFailed, Retry, ExitFailed, "a request to a store failed", "The store answered with an error of its own, or the connection broke in the middle. Retried with back-off; nothing half-written is visible."},
	{StoreProtocol, Fatal, ExitFailed, "a store answered something that cannot be understood", "The answer does not have the form it should have. If a proxy stands between, look there first."},
	{SourceChanged, Retry, ExitNotWhole, "an object changed while it was copied", "The source was overwritten between listing and the end of the copy. Versions are never mixed: the copy was dropped and is made again from the new version, a few times; an object that never rests is reported as failed."},
	{SourceGone, User, ExitNotWhole, "an object vanished before it was copied", "It was listed, but not there any more when it was read. Nothing was written for it. It is counted as gone."},
	{SourceRefused, User, ExitNotWhole, "an object may not be read", "The source refuses this object: permission, or an archive class that must be restored first. The others go on. Mend it and run `godwit retry`, on a server `godwit job retry`."},
	{NotAFile, User, ExitNotWhole, "a symbolic link or special file", "Devices, sockets, pipes and, unless `links` says otherwise, symbolic links are not copied. Each is recorded with its name."},
	{NameRefused, User, ExitNotWhole, "the target cannot hold an object of this name", "The name is too long, has an empty part, `.` or `..`, bytes that the target does not take, or would be a file where a folder is. Nothing was written. Rename it with `rename`, or leave it out."},
	{NameClash, User, ExitNotWhole, "two objects would have one name in the target", "Either `rename` gives both the same name, or they, or folders they are in, differ only in a way that the file system of the target ignores: case, the normal form of letters, dots at the end. The one that came first is there, whole; the other was not written, and is not deleted in the source. Where `delete_source` empties the source and `rename` may give two keys one name, what the target has is not overwritten either, unless `overwrite: always` says so: it may be the only copy of another object. Rename one of them with `rename`, leave it out, or write to a file system that keeps such names apart."},
	{Corrupt, Retry, ExitNotWhole, "the bytes that arrived are not those that left", "A checksum differs between what was read and what the target stored. The copy was dropped and is made again; if it stays, something on the way changes data (memory, disk, proxy)."},
	{TooManyDeletes, User, ExitNotWhole, "more objects would be deleted than allowed", "`delete_extraneous` found more than `delete_limit` allows. Nothing more was deleted. Look at the list (`godwit plan`, on a server `godwit job plan`), then raise the limit if it is meant."},
	{ObjectsFailed, User, ExitNotWhole, "finished, but some objects failed", "All others are whole. `godwit report JOB --failed` lists them with the reason; `godwit retry JOB` (on a server `godwit job retry JOB`) runs only those again."},
	{DifferencesFound, User, ExitNotWhole, "source and target differ", "The verification is complete and found differences. The report lists them; nothing was changed or deleted."},
}
