-- 0001: jobs, their unsuccessful attempts, queues, workers.
-- Instants and durations are whole microseconds. A job's state machine is docs/lifecycle.md.
-- Names are compared by their bytes (COLLATE "C"), as everywhere else.

CREATE TABLE schema_version (
    version    integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
    seq                 bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  text    COLLATE "C" NOT NULL UNIQUE,
    task                text    COLLATE "C" NOT NULL,
    queue               text    COLLATE "C" NOT NULL,
    priority            integer NOT NULL,
    luggage             text    NOT NULL,
    files               text,               -- JSON: the names of the stored files that its arguments and result use
    context             text,               -- JSON: what travels from where it was added to where it runs
    created_at          bigint  NOT NULL,
    run_at              bigint  NOT NULL,
    expires_at          bigint,
    timeout             bigint,
    max_attempts        integer NOT NULL,
    retry               text,
    at_most_once        integer NOT NULL,
    next_id             text    COLLATE "C",-- the job that may first start once this one has ended its first attempt
    waiting             integer NOT NULL,   -- 1: the job before it has not let it go yet (also kept by a job cancelled meanwhile)
    held_by             text    COLLATE "C",-- the server whose request has not unwound yet
    state               text    NOT NULL DEFAULT 'queued',
    ready               integer NOT NULL,   -- 1: may be claimed now; 2: now, but only to run alone; 0: not now
    attempt             integer NOT NULL DEFAULT 0,
    failures            integer NOT NULL DEFAULT 0,
    deaths              integer NOT NULL DEFAULT 0,
    rescues             integer NOT NULL DEFAULT 0,
    worker              text    COLLATE "C",
    started_at          bigint,
    finished_at         bigint,
    cancel_requested_at bigint,
    result              text,
    reason              text,
    error               text,
    note                text,
    CONSTRAINT a_state_is_one_of_five
        CHECK (state = 'queued' OR state = 'running' OR state = 'succeeded' OR state = 'failed' OR state = 'cancelled'),
    CONSTRAINT a_running_job_has_a_worker_and_no_other_has
        CHECK ((state = 'running') = (worker IS NOT NULL)),
    CONSTRAINT a_running_job_has_begun_an_attempt
        CHECK (state <> 'running' OR (attempt > 0 AND started_at IS NOT NULL)),
    CONSTRAINT a_ready_job_is_queued_and_free
        CHECK (ready = 0 OR (state = 'queued' AND waiting = 0 AND held_by IS NULL)),
    CONSTRAINT a_suspect_is_ready_only_to_run_alone
        CHECK (ready = 0 OR ready = 1 + (deaths > 0)::int),
    CONSTRAINT only_a_queued_job_is_held
        CHECK (held_by IS NULL OR state = 'queued'),
    CONSTRAINT an_ended_job_has_its_time_and_no_other_has
        CHECK ((state <> 'queued' AND state <> 'running') = (finished_at IS NOT NULL)),
    CONSTRAINT a_failed_job_has_a_reason_and_no_other_has
        CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CONSTRAINT only_a_running_job_has_a_cancel_pending
        CHECK (cancel_requested_at IS NULL OR state = 'running' OR state = 'succeeded' OR state = 'cancelled')
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);

-- Partial, over the rows that are looked for: what has ended costs the others nothing.
CREATE INDEX jobs_ready    ON jobs (queue, priority DESC, run_at, seq) WHERE ready = 1;
CREATE INDEX jobs_suspect  ON jobs (queue, priority DESC, run_at, seq) WHERE ready = 2;
CREATE INDEX jobs_due      ON jobs (run_at) WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0;
CREATE INDEX jobs_unready  ON jobs (queue) WHERE ready = 0 AND state = 'queued';
CREATE INDEX jobs_held     ON jobs (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL AND state = 'queued';
CREATE INDEX jobs_running  ON jobs (worker) WHERE worker IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_unsuccessful ON jobs (state, queue) WHERE state = 'failed' OR state = 'cancelled';
CREATE INDEX jobs_with_files ON jobs (seq) WHERE files IS NOT NULL;

CREATE TABLE attempts (                     -- only those that did not succeed
    job_id     text    COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    integer NOT NULL,
    outcome    text    NOT NULL,
    error      text    NOT NULL,
    traceback  text    NOT NULL,
    worker     text,
    started_at bigint,
    ended_at   bigint  NOT NULL,
    PRIMARY KEY (job_id, attempt)
);

CREATE TABLE queues (
    name      text COLLATE "C" PRIMARY KEY,
    paused_at bigint
);

CREATE TABLE workers (
    id          text    COLLATE "C" PRIMARY KEY,
    host        text    NOT NULL,
    premises    text    NOT NULL,           -- where its lock files lie: whoever shares them sees whether it lives
    pid         integer NOT NULL,
    queues      text    NOT NULL,           -- JSON: the names it serves, or null for all
    slots       integer NOT NULL,
    started_at  bigint  NOT NULL,
    lease_until bigint  NOT NULL,
    unknown     text    NOT NULL DEFAULT '[]',  -- JSON: tasks of queued jobs that its code does not have
    room        integer NOT NULL DEFAULT 0, -- jobs it can have now: those it runs and those it could start
    leaving     integer NOT NULL DEFAULT 0  -- 1: it claims no more
);
