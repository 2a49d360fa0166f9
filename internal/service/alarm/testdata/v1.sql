-- The table of alarms as the first version wrote it (version 1).
CREATE TABLE alarm (
	id TEXT PRIMARY KEY, job TEXT NOT NULL, alarm TEXT NOT NULL, knows INTEGER NOT NULL, tried INTEGER NOT NULL
) STRICT;
INSERT INTO alarm VALUES ('w5vkqjnhl6hgxbuyoe4x5rzbsq', 'j', '{"hint":"make some","id":"w5vkqjnhl6hgxbuyoe4x5rzbsq","job":"j","kind":"task failed","on":"a","raised":"2026-11-21T14:05:20.5Z","repeated":2,"silenced_by":"ana","silenced_until":"2026-11-21T16:00:00Z","what":"no room"}', 1, 1795277120000);
INSERT INTO alarm VALUES ('aaaaqjnhl6hgxbuyoe4x5rzbsq', 'j', '{"id":"aaaaqjnhl6hgxbuyoe4x5rzbsq","job":"j","kind":"lag","raised":"2026-11-21T13:05:20Z","resolved":"2026-11-21T13:35:20Z","what":"slow"}', 2, 1795268120000);
INSERT INTO alarm VALUES ('bbbbqjnhl6hgxbuyoe4x5rzbsq', '', '{"id":"bbbbqjnhl6hgxbuyoe4x5rzbsq","kind":"disk","raised":"2026-11-21T13:05:20Z","what":"full"}', 0, 0);
