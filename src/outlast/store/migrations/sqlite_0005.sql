-- 0005: what those who watch are shown: the children of workers, and how deep the queues were.

ALTER TABLE workers ADD COLUMN children TEXT NOT NULL DEFAULT '[]';   -- JSON: process, standing, bytes, jobs of each
ALTER TABLE workers ADD COLUMN seen_at  INTEGER;                      -- when it last said that it lives; null: not since it entered

CREATE TABLE depths (                       -- the jobs that were queued, once a minute
    minute INTEGER NOT NULL,
    queue  TEXT    NOT NULL,                -- '' for all queues together
    queued INTEGER NOT NULL,
    PRIMARY KEY (minute, queue)
) STRICT, WITHOUT ROWID;
