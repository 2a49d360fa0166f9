CREATE TABLE job (name TEXT PRIMARY KEY, kind TEXT NOT NULL, way TEXT NOT NULL, grp TEXT NOT NULL, note TEXT NOT NULL, schedule TEXT NOT NULL,
	version INTEGER NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL, updated_by TEXT NOT NULL,
	desired TEXT NOT NULL, wish_by TEXT NOT NULL, wish_reason TEXT NOT NULL, wish_since TEXT NOT NULL,
	trouble TEXT NOT NULL, failed INTEGER NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL, leaving INTEGER NOT NULL);
CREATE TABLE state (job TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE version (job TEXT NOT NULL, version INTEGER NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,
	text TEXT NOT NULL, kept TEXT NOT NULL, changes TEXT NOT NULL, PRIMARY KEY (job, version));
CREATE TABLE command (seq INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE answer (who TEXT NOT NULL, token TEXT NOT NULL, sum TEXT NOT NULL, answer TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (who, token));
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, job TEXT NOT NULL, what TEXT NOT NULL, was TEXT NOT NULL,
	became TEXT NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, request TEXT NOT NULL);
CREATE INDEX audit_job ON audit (job, id);
CREATE TABLE template (name TEXT PRIMARY KEY, version INTEGER NOT NULL, note TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL, updated_by TEXT NOT NULL);
CREATE TABLE template_version (template TEXT NOT NULL, version INTEGER NOT NULL, at TEXT NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,
	text TEXT NOT NULL, PRIMARY KEY (template, version));
CREATE TABLE made (job TEXT PRIMARY KEY, template TEXT NOT NULL, version INTEGER NOT NULL, vals TEXT NOT NULL, tried INTEGER NOT NULL, refused TEXT NOT NULL);
CREATE INDEX made_template ON made (template, job);
PRAGMA user_version = 2;
INSERT INTO job VALUES ('running', 'tables', 'mysql 127.0.0.1:3306 → lake (files file:///lake)', '', '', '', 1, '2026-11-21T14:00:00.000000000Z', '2026-11-21T14:00:00.000000000Z', 'ana', 'running', 'ana', '', '2026-11-21T14:00:00.000000000Z', '', 0, '2026-11-21T14:00:00.000000000Z', '', 0);
INSERT INTO state VALUES ('running', CAST('{"version": 1, "parallel": 4, "spec": 1, "desired": "running", "wish": {"since": "2026-11-21T14:00:00Z"}, "status": "running", "since": "2026-11-21T14:00:00Z", "tasks": [{"id": "(plan)", "kind": "planning", "status": "finished", "since": "2026-11-21T14:00:00Z", "attempt": 3}, {"id": "stream", "kind": "stream", "status": "running", "since": "2026-11-21T14:00:01Z", "attempt": 3, "worker": "this process", "plan": 3}]}' AS BLOB));
INSERT INTO version VALUES ('running', 1, '2026-11-21T14:00:00.000000000Z', 'ana', '', 'name: running
source: {mysql: {user: u, password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///lake"}}]
', '{"chunk_size":"67108864","mode":"snapshot_and_changes","name":"running","parallel":"0","sinks.lake.files":"set","sinks.lake.files.layout":"changelog","sinks.lake.files.roll":"","sinks.lake.files.roll.size":"128MiB","sinks.lake.files.url":"file:///lake","source.mysql":"set","source.mysql.address":"127.0.0.1:3306","source.mysql.user":"u","start":"","tables":"shop.*","until":""}', 'null');
INSERT INTO job VALUES ('paused', 'tables', 'mysql 127.0.0.1:3306 → lake (files file:///lake)', 'shop', '', '', 2, '2026-11-21T14:00:00.000000000Z', '2026-11-21T14:00:00.000000000Z', 'ana', 'paused', 'ana', 'backup', '2026-11-21T14:00:00.000000000Z', '', 0, '2026-11-21T14:00:00.000000000Z', '', 0);
INSERT INTO state VALUES ('paused', CAST('{"version": 1, "parallel": 4, "spec": 1, "desired": "running", "wish": {"since": "2026-11-21T14:00:00Z"}, "status": "running", "since": "2026-11-21T14:00:00Z", "tasks": [{"id": "(plan)", "kind": "planning", "status": "finished", "since": "2026-11-21T14:00:00Z", "attempt": 2}, {"id": "stream", "kind": "stream", "status": "running", "since": "2026-11-21T14:00:01Z", "attempt": 2, "worker": "this process", "plan": 2}]}' AS BLOB));
INSERT INTO version VALUES ('paused', 1, '2026-11-21T14:00:00.000000000Z', 'ana', '', 'name: paused
source: {mysql: {user: u, password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///lake"}}]
', '{"name": "x", "tables": "shop.*"}', 'null');
INSERT INTO version VALUES ('paused', 2, '2026-11-21T14:00:00.000000000Z', 'ana', 'more', 'name: paused
source: {mysql: {user: u, password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///lake"}}]
parallel: 3
', '{"name": "x", "tables": "shop.*"}', '[{"field": "parallel", "from": "0", "to": "3", "effect": "applies", "does": "restarts", "why": "at the next start"}]');
INSERT INTO command VALUES (1, 'paused', '{"do": "edit", "at": "2026-11-21T14:00:00Z", "by": "ana", "version": 2, "parallel": 3, "changes": [{"field": "parallel", "does": "restarts"}]}');
INSERT INTO command VALUES (2, 'paused', '{"do": "pause", "at": "2026-11-21T14:00:02Z", "by": "ana", "why": "backup"}');
INSERT INTO answer VALUES ('ana', 'key', 'sum', '{}', '2026-11-21T14:00:00.000000000Z');
INSERT INTO audit VALUES (1, '2026-11-21T14:00:00.000000000Z', 'ana', 'paused', 'pause', 'running', 'paused', 'backup', 'done', '', 'r-7');

INSERT INTO template VALUES ('shards', 2, 'all', '2026-11-21T14:00:00.000000000Z', '2026-11-21T14:00:00.000000000Z', 'ana');
INSERT INTO template_version VALUES ('shards', 1, '2026-11-21T14:00:00.000000000Z', 'ana', '', 'template: shards
parameters: [{name: job}, {name: folder, default: lake}]
name: ${param:job}
source: {mysql: {user: u, password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///${param:folder}"}}]
');
INSERT INTO template_version VALUES ('shards', 2, '2026-11-21T14:00:00.000000000Z', 'ana', 'faster', 'template: shards
parameters: [{name: job}, {name: folder, default: lake}]
name: ${param:job}
source: {mysql: {user: u, password: "${env:SECRET}"}}
tables: [shop.*]
sinks: [{name: lake, files: {url: "file:///${param:folder}"}}]
parallel: 3
');
INSERT INTO made VALUES ('running', 'shards', 1, '{"job": "running"}', 1, '');
INSERT INTO made VALUES ('paused', 'shards', 1, '{"job": "paused", "folder": "sea"}', 2, '{"class": "user", "code": "JOB_EDIT", "what": "it lies elsewhere"}');
