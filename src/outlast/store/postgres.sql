-- What the PostgreSQL store says in its own way, by name: the names of sqlite.sql, where the two do the same; what both
-- say alike is in both.sql.
-- `{which}` stands for the conditions of a JobFilter, `{ready}` for 1, or 2 for jobs that run alone.

-- name: insert
INSERT INTO jobs (
    id, task, queue, priority, luggage, files, context, owner, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
)
SELECT
    id, task, queue, priority, luggage, files, context, owner, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
FROM unnest(
    CAST(:id AS text[]), CAST(:task AS text[]), CAST(:queue AS text[]), CAST(:priority AS int[]),
    CAST(:luggage AS text[]), CAST(:files AS text[]), CAST(:context AS text[]), CAST(:owner AS text[]),
    CAST(:created_at AS bigint[]), CAST(:run_at AS bigint[]), CAST(:expires_at AS bigint[]), CAST(:timeout AS bigint[]),
    CAST(:max_attempts AS int[]), CAST(:retry AS text[]), CAST(:at_most_once AS int[]), CAST(:next_id AS text[]),
    CAST(:waiting AS int[]), CAST(:held_by AS text[]), CAST(:ready AS int[])
) WITH ORDINALITY AS given (
    id, task, queue, priority, luggage, files, context, owner, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready, place
)
ORDER BY place
ON CONFLICT (id) DO NOTHING

-- name: chain
-- A job waits for the last one before it that is still there: a savepoint may have taken some back.
UPDATE jobs
SET next_id = :id
WHERE seq = (SELECT max(seq) FROM jobs WHERE id = ANY(CAST(:earlier AS text[])))
RETURNING 1

-- name: transaction
SELECT txid_current()

-- name: whereabouts
-- What tells this table of jobs from all others, and whether this user may write to it.
SELECT
    concat_ws('.', server.system_identifier, base.oid, found.oid),
    has_schema_privilege(home.oid, 'USAGE') AND has_table_privilege(found.oid, 'SELECT')
        AND has_table_privilege(found.oid, 'INSERT') AND has_table_privilege(found.oid, 'UPDATE')
FROM pg_control_system() AS server
JOIN pg_database AS base ON base.datname = current_database()
JOIN pg_namespace AS home ON home.nspname = :schema
JOIN pg_class AS found ON found.relnamespace = home.oid AND found.relname = 'jobs'

-- name: unhold_all
UPDATE jobs
SET held_by = NULL,
    ready = CASE WHEN waiting = 0 AND run_at <= greatest(created_at, :now) THEN 1 + CAST(deaths > 0 AS int) ELSE 0 END
WHERE state = 'queued' AND held_by = :server

-- name: unhold_some
UPDATE jobs
SET held_by = NULL,
    ready = CASE WHEN waiting = 0 AND run_at <= greatest(created_at, :now) THEN 1 + CAST(deaths > 0 AS int) ELSE 0 END
WHERE state = 'queued' AND held_by = :server AND id = ANY(:ids)

-- name: holders
SELECT held_by, max(created_at)
FROM jobs
WHERE held_by IS NOT NULL AND state = 'queued'
GROUP BY held_by

-- name: enter
INSERT INTO workers (id, host, premises, pid, queues, slots, started_at, lease_until, room, unknown, leaving,
    handed, engine)
VALUES (:id, :host, :premises, :pid, :queues, :slots, :started_at, :lease_until, :room, :unknown, :leaving,
    :handed, :engine)
ON CONFLICT (id) DO UPDATE
SET host = excluded.host, premises = excluded.premises, pid = excluded.pid, queues = excluded.queues, slots = excluded.slots,
    started_at = excluded.started_at, lease_until = excluded.lease_until, room = excluded.room,
    unknown = excluded.unknown, leaving = excluded.leaving, handed = excluded.handed,
    engine = excluded.engine

-- name: queued_now
SELECT queue, count(*) FROM jobs WHERE ready = 1 GROUP BY queue
UNION ALL
SELECT queue, count(*) FROM jobs WHERE ready = 2 GROUP BY queue
UNION ALL
SELECT queue, count(*) FROM jobs WHERE ready = 0 AND state = 'queued' GROUP BY queue

-- name: past_depths
SELECT minute - mod(minute, CAST(:step AS bigint)) AS beginning, max(queued)
FROM depths
WHERE minute >= :since AND queue = :queue
GROUP BY beginning

-- name: knows_worker
-- Locked against whoever would take this worker for dead while it claims.
SELECT 1 FROM workers WHERE id = :worker FOR KEY SHARE

-- name: announce
-- A notification is a commit that would wait for the disk, though no crash has anything to lose.
SELECT set_config('synchronous_commit', 'off', true), pg_notify(:channel, '')

-- name: lock_worker
SELECT 1 FROM workers WHERE id = :worker FOR UPDATE

-- name: promote
UPDATE jobs
SET ready = 1 + CAST(deaths > 0 AS int)
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
    ORDER BY run_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)

-- name: any_ready
-- In the order of the index: else the one that is found first may lie behind all that ended.
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE ready = {ready} ORDER BY queue LIMIT 1) AS found

-- name: queues_with_ready
WITH RECURSIVE found (name) AS (
    SELECT min(queue) FROM jobs WHERE ready = {ready}
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE ready = {ready} AND queue > found.name)
    FROM found
    WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL AND name NOT IN (SELECT name FROM queues)

-- name: claim
-- All that a claim asks, in one question. First, whether a job is due that is not ready yet: then nothing is taken, and
-- this is asked again once such jobs are ready. Where there is anything to take, whether the worker is known; it is
-- locked against whoever would take it for dead. From the front of each open queue, as many as the claim may take; of
-- those the first of all. The others stay locked until the commit, which is soon.
WITH RECURSIVE found (name) AS (
    SELECT min(queue) FROM jobs WHERE ready = {ready}
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE ready = {ready} AND queue > found.name)
    FROM found
    WHERE found.name IS NOT NULL
), served AS MATERIALIZED (
    SELECT name FROM found
    WHERE name IS NOT NULL AND name NOT IN (SELECT name FROM queues)
        AND (CAST(:queues AS text[]) IS NULL OR name = ANY(CAST(:queues AS text[])))
        AND name <> ALL(CAST(:handed AS text[]))
), due AS MATERIALIZED (
    SELECT coalesce(min(run_at) <= :due, false) AS is_one
    FROM jobs
    WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0
), known AS MATERIALIZED (
    SELECT 1 FROM workers
    WHERE id = :worker AND (EXISTS (SELECT 1 FROM served) OR (SELECT is_one FROM due))
    FOR KEY SHARE
), fronts AS MATERIALIZED (
    SELECT front.seq, front.priority, front.run_at
    FROM served
    CROSS JOIN LATERAL (
        SELECT seq, priority, run_at
        FROM jobs
        WHERE ready = {ready} AND jobs.queue = served.name COLLATE "C"
            AND (expires_at IS NULL OR expires_at > :now)
            AND (published_until IS NULL OR published_until <= :now)
            AND task <> ALL(CAST(:unknown AS text[])) AND id <> ALL(CAST(:unfit AS text[]))
        ORDER BY priority DESC, run_at, seq
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS front
    WHERE EXISTS (SELECT 1 FROM known) AND NOT (SELECT is_one FROM due)
), first AS MATERIALIZED (
    SELECT seq FROM fronts ORDER BY priority DESC, run_at, seq LIMIT :limit
), taken AS (
    UPDATE jobs
    SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = NULL,
        published_until = NULL
    FROM first
    WHERE jobs.seq = first.seq
    RETURNING
        -priority, run_at, jobs.seq,
        id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context,
        queue, jobs.run_at
)
SELECT EXISTS (SELECT 1 FROM known) AND (SELECT is_one FROM due), taken.*
FROM (SELECT 1) AS answer
LEFT JOIN taken ON true

-- name: claim_one
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = NULL,
    published_until = NULL
WHERE id = :id AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)
RETURNING
    -priority, run_at, jobs.seq,
    id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context,
    queue, jobs.run_at

-- name: any_to_offer
SELECT CAST(EXISTS (
    SELECT 1 FROM jobs WHERE (ready = 1 OR ready = 2) AND (published_until IS NULL OR published_until <= :now)
) AS int)

-- name: offer
WITH front AS MATERIALIZED (
    SELECT seq FROM jobs
    WHERE ready = {ready} AND queue = :queue
        AND (expires_at IS NULL OR expires_at > :now)
        AND (published_until IS NULL OR published_until <= :now)
    ORDER BY priority DESC, run_at, seq
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE jobs
SET engine = :engine,
    published_at = CASE WHEN published_until IS NULL THEN :now ELSE published_at END,
    published_until = :now + greatest(:lease, CASE WHEN published_until IS NULL THEN 0 ELSE :now - published_at END)
FROM front
WHERE jobs.seq = front.seq
RETURNING -priority, run_at, jobs.seq, id, attempt + 1, task, queue, priority

-- name: claim_published
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = :engine,
    published_until = NULL
WHERE id = :id AND attempt = :attempt - 1 AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)
RETURNING id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context,
    queue, run_at

-- name: any_suspect
SELECT 1 FROM jobs
WHERE ready = 2 AND queue = ANY(CAST(:queues AS text[])) AND (expires_at IS NULL OR expires_at > :now)
    AND (published_until IS NULL OR published_until <= :now) AND task <> ALL(CAST(:unknown AS text[]))
    AND id <> ALL(CAST(:unfit AS text[]))
LIMIT 1

-- name: succeed
-- Each is looked up by its id, and locked: joined with the jobs that run, which are few as far as statistics know, all
-- would be compared with all.
WITH ended AS MATERIALIZED (
    SELECT running.seq, given.result
    FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:results AS text[])) AS given (id, attempt, result)
    CROSS JOIN LATERAL (
        SELECT seq FROM jobs
        WHERE id = given.id COLLATE "C" AND attempt = given.attempt AND state = 'running'
        FOR UPDATE
    ) AS running
)
UPDATE jobs
SET state = 'succeeded', worker = NULL, deaths = 0, rescues = 0, finished_at = :now, result = ended.result, note = NULL
FROM ended
WHERE jobs.seq = ended.seq
RETURNING jobs.id, jobs.attempt, jobs.failures, jobs.next_id

-- name: standing
SELECT
    failures, max_attempts, deaths, rescues, retry, at_most_once, cancel_requested_at IS NOT NULL,
    run_at, worker, started_at, seq, next_id
FROM jobs
WHERE id = :id AND attempt = :attempt AND state = 'running'
FOR UPDATE

-- name: let_go
UPDATE jobs
SET waiting = 0,
    ready = CASE
        WHEN state = 'queued' AND held_by IS NULL AND run_at <= greatest(created_at, :now) THEN 1 + CAST(deaths > 0 AS int)
        ELSE 0
    END
WHERE id = ANY(:ids) AND waiting = 1
RETURNING state, next_id

-- name: keep_steps
INSERT INTO progress (job_id, attempt, done, total, note, at)
SELECT jobs.id, jobs.attempt, told.done, told.total, told.note, told.at
FROM unnest(
    CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:done AS bigint[]), CAST(:total AS bigint[]),
    CAST(:note AS text[]), CAST(:at AS bigint[])
) AS told (id, attempt, done, total, note, at)
JOIN jobs ON jobs.id = told.id COLLATE "C" AND jobs.attempt = told.attempt AND jobs.state = 'running'
ON CONFLICT (job_id) DO UPDATE
SET attempt = excluded.attempt, done = excluded.done, total = excluded.total, note = excluded.note, at = excluded.at
WHERE excluded.attempt >= progress.attempt

-- name: keep_lines
INSERT INTO log_lines (job_id, attempt, number, at, level, logger, text)
SELECT jobs.id, jobs.attempt, told.number, told.at, told.level, told.logger, told.text
FROM unnest(
    CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:number AS bigint[]), CAST(:at AS bigint[]),
    CAST(:level AS int[]), CAST(:logger AS text[]), CAST(:text AS text[])
) AS told (id, attempt, number, at, level, logger, text)
JOIN jobs ON jobs.id = told.id COLLATE "C" AND jobs.attempt = told.attempt AND jobs.state = 'running'
ON CONFLICT (job_id, attempt, number) DO NOTHING

-- name: watched
SELECT
    id, state, jobs.attempt, failures, run_at, cancel_requested_at, waiting, held_by, ready, published_until,
    finished_at,
    progress.done, progress.total, progress.note AS doing, progress.at AS told_at,
    last.attempt AS line_attempt, last.number AS line_number
FROM jobs
LEFT JOIN progress ON progress.job_id = jobs.id AND progress.attempt = jobs.attempt
LEFT JOIN log_lines AS last
    ON last.job_id = jobs.id AND (last.attempt, last.number) = (
        SELECT attempt, number FROM log_lines WHERE job_id = jobs.id ORDER BY attempt DESC, number DESC LIMIT 1
    )
WHERE id = ANY(CAST(:ids AS text[]))

-- name: statistics
SELECT start - mod(start, CAST(:step AS bigint)) AS beginning, task, queue, {sums}
FROM statistics
WHERE length = :length AND start >= :since AND start < :until
GROUP BY beginning, task, queue
ORDER BY beginning, task, queue

-- name: statistics_summed
SELECT start - mod(start, CAST(:step AS bigint)) AS beginning, {sums}
FROM statistics
WHERE length = :length AND start >= :since AND (CAST(:task AS text) IS NULL OR task = :task)
GROUP BY beginning
ORDER BY beginning

-- name: successes
SELECT start - mod(start, CAST(:step AS bigint)) AS beginning, task, sum(succeeded)
FROM statistics
WHERE length = :length AND start >= :since
GROUP BY beginning, task
ORDER BY task, beginning

-- name: overdue
SELECT seq, id, attempt, context, task, queue, failures, deaths, rescues
FROM jobs
WHERE state = 'queued' AND expires_at IS NOT NULL AND expires_at <= :now
ORDER BY expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: prune
DELETE FROM jobs
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE finished_at IS NOT NULL AND finished_at < :before AND waiting = 0
        AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY finished_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
RETURNING files

-- name: keep_file
UPDATE jobs
SET files = CAST(CAST(coalesce(files, '[]') AS jsonb) || to_jsonb(CAST(:file AS text)) AS text)
WHERE id = :id

-- name: files_in_use
SELECT DISTINCT each.name
FROM jobs
CROSS JOIN LATERAL jsonb_array_elements_text(CAST(jobs.files AS jsonb)) AS each (name)
WHERE jobs.files IS NOT NULL AND each.name = ANY(CAST(:names AS text[]))

-- name: some_queued
SELECT 1 FROM jobs WHERE ready = 1
UNION ALL
SELECT 1 FROM jobs WHERE ready = 2
UNION ALL
SELECT 1 FROM jobs WHERE ready = 0 AND state = 'queued'
LIMIT :limit

-- name: tally
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE ready = 1 LIMIT :most) AS few)
    + (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE ready = 2 LIMIT :most) AS few),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now LIMIT :most
    ) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE held_by IS NOT NULL LIMIT :most) AS few),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 1 LIMIT :most
    ) AS few),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures = 0
        LIMIT :most
    ) AS few),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures > 0
        LIMIT :most
    ) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE worker IS NOT NULL LIMIT :most) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'failed' LIMIT :most) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'cancelled' LIMIT :most) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE finished_at IS NOT NULL LIMIT 3 * :most) AS few),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE published_until > :now LIMIT :most) AS few)

-- name: failures
SELECT
    task, kind, count(*), min(finished_at), max(finished_at),
    (array_agg(id ORDER BY finished_at DESC))[1], (array_agg(error ORDER BY finished_at DESC))[1]
FROM (
    SELECT task, split_part(error, ':', 1) AS kind, finished_at, id, error
    FROM jobs
    WHERE {which}
) AS failed
GROUP BY task, kind
ORDER BY max(finished_at) DESC, task, kind
LIMIT :limit

-- name: slowest
SELECT id
FROM (
    SELECT id, task, started_at, finished_at
    FROM jobs
    WHERE finished_at IS NOT NULL
    ORDER BY finished_at DESC
    LIMIT :most
) AS ended
WHERE started_at IS NOT NULL AND (CAST(:task AS text) IS NULL OR task = :task)
ORDER BY finished_at - started_at DESC
LIMIT :limit

-- name: retry
UPDATE jobs
SET state = 'queued', ready = CAST(waiting = 0 AS int), run_at = :now, failures = 0, deaths = 0, rescues = 0,
    expires_at = CASE WHEN expires_at <= :now THEN NULL ELSE expires_at END,
    finished_at = NULL, cancel_requested_at = NULL, reason = NULL, result = NULL, note = 'retried by hand'
WHERE {which}
RETURNING id

-- name: queues
SELECT name, paused_at, 0, 0, 0 FROM queues
UNION ALL
SELECT queue, NULL, count(*), 0, 0 FROM jobs WHERE ready = 1 GROUP BY queue
UNION ALL
SELECT queue, NULL, count(*), 0, 0 FROM jobs WHERE ready = 2 GROUP BY queue
UNION ALL
SELECT queue, NULL, count(*), 0, 0 FROM jobs WHERE ready = 0 AND state = 'queued' GROUP BY queue
UNION ALL
SELECT queue, NULL, 0, count(*), 0 FROM jobs WHERE worker IS NOT NULL GROUP BY queue
UNION ALL
SELECT queue, NULL, 0, 0, count(*) FROM jobs WHERE state = 'failed' GROUP BY queue

-- name: ahead
-- What this worker would take before a job: that which is ready, and that which its next claim makes ready.
SELECT count(*) FROM (
    SELECT 1 FROM (
        SELECT seq, id, queue, priority, run_at, task, expires_at FROM jobs
        WHERE ready = {ready} AND (published_until IS NULL OR published_until <= :now)
        UNION ALL
        SELECT seq, id, queue, priority, run_at, task, expires_at FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
            AND 1 + CAST(deaths > 0 AS int) = {ready}
    ) AS jobs_ahead
    WHERE (-priority, run_at, seq) < (-CAST(:priority AS int), :run_at, :seq)
        AND (CAST(:queues AS text[]) IS NULL OR queue = ANY(CAST(:queues AS text[])))
        AND queue <> ALL(CAST(:handed AS text[]))
        AND queue NOT IN (SELECT name FROM queues)
        AND (expires_at IS NULL OR expires_at > :now)
        AND task <> ALL(CAST(:unknown AS text[])) AND id <> ALL(CAST(:unknown AS text[]))
    LIMIT :most
) AS counted

-- name: ids_like
SELECT id FROM jobs WHERE id >= :part AND id < :part || '~'
UNION
SELECT id FROM jobs WHERE right(id, length(:part)) = :part
LIMIT :limit

-- name: oldest_ready
SELECT id
FROM (
    SELECT id, run_at, seq FROM jobs WHERE ready = 1
    UNION ALL
    SELECT id, run_at, seq FROM jobs WHERE ready = 2
    UNION ALL
    SELECT id, run_at, seq FROM jobs
    WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
) AS due
ORDER BY run_at, seq
LIMIT 1

-- name: live_places
SELECT seq FROM jobs WHERE state = 'queued'
UNION ALL
SELECT seq FROM jobs WHERE worker IS NOT NULL

-- name: live
SELECT id, task, luggage, state = 'running'
FROM jobs
WHERE seq = ANY(CAST(:places AS bigint[])) AND (state = 'queued' OR state = 'running')

-- name: counts
SELECT
    count(*) FILTER (WHERE state = 'queued' AND ready > 0),
    count(*) FILTER (WHERE state = 'queued' AND held_by IS NOT NULL),
    count(*) FILTER (WHERE state = 'queued' AND held_by IS NULL AND waiting = 1),
    count(*) FILTER (WHERE state = 'queued' AND ready = 0 AND held_by IS NULL AND waiting = 0 AND run_at <= :now),
    count(*) FILTER (
        WHERE state = 'queued' AND ready = 0 AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures = 0
    ),
    count(*) FILTER (
        WHERE state = 'queued' AND ready = 0 AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures > 0
    ),
    count(*) FILTER (WHERE worker IS NOT NULL),
    count(*) FILTER (WHERE finished_at IS NOT NULL),
    count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'cancelled')
FROM jobs

-- name: keep_places
SELECT setval(pg_get_serial_sequence(:table, 'seq'), greatest(CAST(:top AS bigint), (SELECT max(seq) FROM jobs)))
