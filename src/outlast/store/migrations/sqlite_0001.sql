-- 0001: jobs, their unsuccessful attempts, queues, workers.
-- Instants and durations are whole microseconds. A job's state machine is docs/lifecycle.md.
-- The CHECKs spell out their alternatives: SQLite builds a table for each `IN (…)` of three or more, in every statement.

CREATE TABLE jobs (
    seq                 INTEGER PRIMARY KEY,
    id                  TEXT    NOT NULL UNIQUE,
    task                TEXT    NOT NULL,
    queue               TEXT    NOT NULL,
    priority            INTEGER NOT NULL,
    luggage             TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    run_at              INTEGER NOT NULL,
    expires_at          INTEGER,
    timeout             INTEGER,
    max_attempts        INTEGER NOT NULL,
    retry               TEXT,
    at_most_once        INTEGER NOT NULL,
    next_id             TEXT,               -- the job that may first start once this one has ended its first attempt
    waiting             INTEGER NOT NULL,   -- 1: the job before it has not let it go yet (also kept by a job cancelled meanwhile)
    held_by             TEXT,               -- the server whose request has not unwound yet
    state               TEXT    NOT NULL DEFAULT 'queued',
    ready               INTEGER NOT NULL,   -- 1: may be claimed now; 2: now, but only to run alone; 0: not now
    attempt             INTEGER NOT NULL DEFAULT 0,
    failures            INTEGER NOT NULL DEFAULT 0,
    deaths              INTEGER NOT NULL DEFAULT 0,
    rescues             INTEGER NOT NULL DEFAULT 0,
    worker              TEXT,
    started_at          INTEGER,
    finished_at         INTEGER,
    cancel_requested_at INTEGER,
    result              TEXT,
    reason              TEXT,
    error               TEXT,
    note                TEXT,
    CONSTRAINT a_state_is_one_of_five
        CHECK (state = 'queued' OR state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled'),
    CONSTRAINT a_running_job_has_a_worker_and_no_other_has
        CHECK ((state = 'running') = (worker IS NOT NULL)),
    CONSTRAINT a_running_job_has_begun_an_attempt
        CHECK (state <> 'running' OR (attempt > 0 AND started_at IS NOT NULL)),
    CONSTRAINT a_ready_job_is_queued_and_free
        CHECK (ready = 0 OR (state = 'queued' AND waiting = 0 AND held_by IS NULL)),
    CONSTRAINT a_suspect_is_ready_only_to_run_alone
        CHECK (ready = 0 OR ready = 1 + (deaths > 0)),
    CONSTRAINT only_a_queued_job_is_held
        CHECK (held_by IS NULL OR state = 'queued'),
    CONSTRAINT an_ended_job_has_its_time_and_no_other_has
        CHECK ((state <> 'queued' AND state <> 'running') = (finished_at IS NOT NULL)),
    CONSTRAINT a_failed_job_has_a_reason_and_no_other_has
        CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CONSTRAINT only_a_running_job_has_a_cancel_pending
        CHECK (cancel_requested_at IS NULL OR state = 'running' OR state = 'succeeded' OR state = 'cancelled')
) STRICT;

-- Few and partial: each index that knows the state costs every claim and every ending.
CREATE INDEX jobs_ready    ON jobs (ready, queue, priority DESC, run_at) WHERE ready > 0;
CREATE INDEX jobs_unready  ON jobs (held_by, waiting, run_at, failures, queue) WHERE ready = 0 AND state = 'queued';
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL AND state = 'queued';
CREATE INDEX jobs_running  ON jobs (worker) WHERE worker IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_unsuccessful ON jobs (state, queue) WHERE state = 'failed' OR state = 'cancelled';

CREATE TABLE attempts (                     -- only those that did not succeed
    job_id     TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    traceback  TEXT    NOT NULL,
    worker     TEXT,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
    name      TEXT PRIMARY KEY,
    paused_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id          TEXT PRIMARY KEY,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    queues      TEXT    NOT NULL,           -- JSON: the names it serves, or null for all
    slots       INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
