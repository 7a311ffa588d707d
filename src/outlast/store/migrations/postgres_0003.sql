-- 0003: what running attempts tell (progress, log lines), whose a job is, and what workers count.

ALTER TABLE jobs ADD COLUMN owner text COLLATE "C";   -- whose it is for those who ask over HTTP; null: nobody's

ALTER TABLE workers ADD COLUMN claimed_at bigint;   -- when it last asked for jobs, or had no room for any; null: not yet

CREATE TABLE progress (                     -- what an attempt last said of itself; of another than the latest it is void
    job_id  text COLLATE "C" PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    done    bigint NOT NULL,
    total   bigint,
    note    text,
    at      bigint NOT NULL
);

CREATE TABLE log_lines (                    -- the last 1,000 of each job
    job_id  text COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt integer NOT NULL,
    number  bigint NOT NULL,                -- from 1 in each attempt; gaps are lines that were too many to be kept
    at      bigint NOT NULL,
    level   integer NOT NULL,
    logger  text NOT NULL,
    text    text NOT NULL,
    PRIMARY KEY (job_id, attempt, number)
);

CREATE TABLE statistics (                   -- of each task in each queue: what workers counted
    length           bigint NOT NULL,       -- of the time that was counted over: a minute, an hour, or 0 for all time
    start            bigint NOT NULL,
    task             text COLLATE "C" NOT NULL,
    queue            text COLLATE "C" NOT NULL,
    started          bigint NOT NULL,       -- attempts
    succeeded        bigint NOT NULL,       -- jobs, by the end of an attempt or without one
    retried          bigint NOT NULL,
    released         bigint NOT NULL,
    cancelled        bigint NOT NULL,
    failed_error     bigint NOT NULL,
    failed_timeout   bigint NOT NULL,
    failed_crash     bigint NOT NULL,
    failed_expired   bigint NOT NULL,
    failed_poison    bigint NOT NULL,
    failed_interrupted bigint NOT NULL,
    failed_rescues   bigint NOT NULL,
    run_time         bigint NOT NULL,       -- how long attempts took in all, and how many took up to each bound
    late_time        bigint NOT NULL,       -- how long after their time attempts began
    run_0 bigint NOT NULL, run_1 bigint NOT NULL, run_2 bigint NOT NULL, run_3 bigint NOT NULL,
    run_4 bigint NOT NULL, run_5 bigint NOT NULL, run_6 bigint NOT NULL, run_7 bigint NOT NULL,
    run_8 bigint NOT NULL, run_9 bigint NOT NULL, run_10 bigint NOT NULL, run_11 bigint NOT NULL,
    run_12 bigint NOT NULL, run_13 bigint NOT NULL, run_14 bigint NOT NULL, run_15 bigint NOT NULL,
    late_0 bigint NOT NULL, late_1 bigint NOT NULL, late_2 bigint NOT NULL, late_3 bigint NOT NULL,
    late_4 bigint NOT NULL, late_5 bigint NOT NULL, late_6 bigint NOT NULL, late_7 bigint NOT NULL,
    late_8 bigint NOT NULL, late_9 bigint NOT NULL, late_10 bigint NOT NULL, late_11 bigint NOT NULL,
    late_12 bigint NOT NULL, late_13 bigint NOT NULL, late_14 bigint NOT NULL, late_15 bigint NOT NULL,
    PRIMARY KEY (length, start, task, queue)
);
