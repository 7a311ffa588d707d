-- 0003: what a store knows of itself: where its jobs have gone, and where they came from.

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL                     -- JSON
) STRICT, WITHOUT ROWID;
