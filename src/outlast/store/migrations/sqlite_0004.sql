-- 0004: what running attempts tell (progress, log lines), whose a job is, and what workers count.

ALTER TABLE jobs ADD COLUMN owner TEXT;   -- whose it is for those who ask over HTTP; null: nobody's

ALTER TABLE workers ADD COLUMN claimed_at INTEGER;   -- when it last asked for jobs, or had no room for any; null: not yet

CREATE TABLE progress (                     -- what an attempt last said of itself; of another than the latest it is void
    job_id  TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    done    INTEGER NOT NULL,
    total   INTEGER,
    note    TEXT,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_lines (                    -- the last 1,000 of each job
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    number  INTEGER NOT NULL,                -- from 1 in each attempt; gaps are lines that were too many to be kept
    at      INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    logger  TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE statistics (                   -- of each task in each queue: what workers counted
    length           INTEGER NOT NULL,       -- of the time that was counted over: a minute, an hour, or 0 for all time
    start            INTEGER NOT NULL,
    task             TEXT NOT NULL,
    queue            TEXT NOT NULL,
    started          INTEGER NOT NULL,       -- attempts
    succeeded        INTEGER NOT NULL,       -- jobs, by the end of an attempt or without one
    retried          INTEGER NOT NULL,
    released         INTEGER NOT NULL,
    cancelled        INTEGER NOT NULL,
    failed_error     INTEGER NOT NULL,
    failed_timeout   INTEGER NOT NULL,
    failed_crash     INTEGER NOT NULL,
    failed_expired   INTEGER NOT NULL,
    failed_poison    INTEGER NOT NULL,
    failed_interrupted INTEGER NOT NULL,
    failed_rescues   INTEGER NOT NULL,
    run_time         INTEGER NOT NULL,       -- how long attempts took in all, and how many took up to each bound
    late_time        INTEGER NOT NULL,       -- how long after their time attempts began
    run_0 INTEGER NOT NULL, run_1 INTEGER NOT NULL, run_2 INTEGER NOT NULL, run_3 INTEGER NOT NULL,
    run_4 INTEGER NOT NULL, run_5 INTEGER NOT NULL, run_6 INTEGER NOT NULL, run_7 INTEGER NOT NULL,
    run_8 INTEGER NOT NULL, run_9 INTEGER NOT NULL, run_10 INTEGER NOT NULL, run_11 INTEGER NOT NULL,
    run_12 INTEGER NOT NULL, run_13 INTEGER NOT NULL, run_14 INTEGER NOT NULL, run_15 INTEGER NOT NULL,
    late_0 INTEGER NOT NULL, late_1 INTEGER NOT NULL, late_2 INTEGER NOT NULL, late_3 INTEGER NOT NULL,
    late_4 INTEGER NOT NULL, late_5 INTEGER NOT NULL, late_6 INTEGER NOT NULL, late_7 INTEGER NOT NULL,
    late_8 INTEGER NOT NULL, late_9 INTEGER NOT NULL, late_10 INTEGER NOT NULL, late_11 INTEGER NOT NULL,
    late_12 INTEGER NOT NULL, late_13 INTEGER NOT NULL, late_14 INTEGER NOT NULL, late_15 INTEGER NOT NULL,
    PRIMARY KEY (length, start, task, queue)
) STRICT, WITHOUT ROWID;
