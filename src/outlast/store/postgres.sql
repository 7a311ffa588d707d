-- Every statement of the PostgreSQL store, by name: the names of sqlite.sql, where the two do the same.
-- `{which}` stands for the conditions of a JobFilter, `{ready}` for 1, or 2 for jobs that run alone.

-- name: insert
INSERT INTO jobs (
    id, task, queue, priority, luggage, files, context, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
)
SELECT
    id, task, queue, priority, luggage, files, context, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
FROM unnest(
    CAST(:id AS text[]), CAST(:task AS text[]), CAST(:queue AS text[]), CAST(:priority AS int[]),
    CAST(:luggage AS text[]), CAST(:files AS text[]), CAST(:context AS text[]), CAST(:created_at AS bigint[]),
    CAST(:run_at AS bigint[]), CAST(:expires_at AS bigint[]), CAST(:timeout AS bigint[]),
    CAST(:max_attempts AS int[]), CAST(:retry AS text[]), CAST(:at_most_once AS int[]), CAST(:next_id AS text[]),
    CAST(:waiting AS int[]), CAST(:held_by AS text[]), CAST(:ready AS int[])
) WITH ORDINALITY AS given (
    id, task, queue, priority, luggage, files, context, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready, place
)
ORDER BY place
ON CONFLICT (id) DO NOTHING

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

-- name: renew
UPDATE workers SET lease_until = :until WHERE id = :worker

-- name: report
UPDATE workers SET room = :room, unknown = :unknown, leaving = :leaving WHERE id = :worker

-- name: leave
DELETE FROM workers WHERE id = :worker AND NOT EXISTS (SELECT 1 FROM jobs WHERE worker = :worker)

-- name: forget
DELETE FROM workers WHERE id = :worker

-- name: workers
SELECT id, host, premises, pid, queues, slots, started_at, lease_until, room, unknown, leaving, handed, engine
FROM workers
ORDER BY started_at, id

-- name: knows_worker
-- Locked against whoever would take this worker for dead while it claims.
SELECT 1 FROM workers WHERE id = :worker FOR KEY SHARE

-- name: announce
SELECT pg_notify(:channel, '')

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
SELECT CAST(EXISTS (SELECT 1 FROM jobs WHERE ready = {ready}) AS int)

-- name: next_due
SELECT min(run_at) FROM jobs WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0

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
-- From the front of each queue, as many as the claim may take; of those the first of all. The others stay locked until
-- the commit, which is soon.
WITH fronts AS MATERIALIZED (
    SELECT front.seq, front.priority, front.run_at
    FROM unnest(CAST(:queues AS text[])) AS served (queue)
    CROSS JOIN LATERAL (
        SELECT seq, priority, run_at
        FROM jobs
        WHERE ready = {ready} AND jobs.queue = served.queue COLLATE "C"
            AND (expires_at IS NULL OR expires_at > :now)
            AND (published_until IS NULL OR published_until <= :now)
            AND task <> ALL(CAST(:unknown AS text[])) AND id <> ALL(CAST(:unfit AS text[]))
        ORDER BY priority DESC, run_at, seq
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS front
), first AS MATERIALIZED (
    SELECT seq FROM fronts ORDER BY priority DESC, run_at, seq LIMIT :limit
)
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = NULL,
    published_until = NULL
FROM first
WHERE jobs.seq = first.seq
RETURNING
    -priority, run_at, jobs.seq,
    id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context

-- name: claim_one
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = NULL,
    published_until = NULL
WHERE id = :id AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)
RETURNING
    -priority, run_at, jobs.seq,
    id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context

-- name: any_to_offer
SELECT CAST(EXISTS (
    SELECT 1 FROM jobs WHERE (ready = 1 OR ready = 2) AND (published_until IS NULL OR published_until <= :now)
) AS int)

-- name: in_flight
SELECT count(*) FROM jobs WHERE queue = :queue AND published_until > :now

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

-- name: unpublish
UPDATE jobs SET published_until = NULL WHERE id = :id AND attempt = :attempt - 1 AND published_until IS NOT NULL

-- name: entrust
UPDATE jobs SET published_until = :until, note = :note
WHERE id = :id AND attempt = :attempt - 1 AND published_until IS NOT NULL

-- name: entrusted
SELECT id, attempt + 1, task FROM jobs WHERE queue = :queue AND published_until > :now ORDER BY published_until LIMIT :limit

-- name: distrust
UPDATE jobs SET published_until = NULL WHERE queue = :queue AND published_until IS NOT NULL

-- name: claim_published
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = :engine,
    published_until = NULL
WHERE id = :id AND attempt = :attempt - 1 AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)
RETURNING id, attempt, task, luggage, failures, retry, timeout, at_most_once, CAST(deaths > 0 AS int), context

-- name: any_suspect
SELECT 1 FROM jobs
WHERE ready = 2 AND queue = ANY(CAST(:queues AS text[])) AND (expires_at IS NULL OR expires_at > :now)
    AND (published_until IS NULL OR published_until <= :now) AND task <> ALL(CAST(:unknown AS text[]))
    AND id <> ALL(CAST(:unfit AS text[]))
LIMIT 1

-- name: succeed
UPDATE jobs
SET state = 'succeeded', worker = NULL, deaths = 0, rescues = 0, finished_at = :now, result = ended.result, note = NULL
FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:results AS text[])) AS ended (id, attempt, result)
WHERE jobs.id = ended.id COLLATE "C" AND jobs.attempt = ended.attempt AND jobs.state = 'running'
RETURNING jobs.id, jobs.attempt, jobs.failures, jobs.next_id

-- name: standing
SELECT
    failures, max_attempts, deaths, rescues, retry, at_most_once, cancel_requested_at IS NOT NULL,
    run_at, worker, started_at, seq, next_id
FROM jobs
WHERE id = :id AND attempt = :attempt AND state = 'running'
FOR UPDATE

-- name: end
UPDATE jobs
SET state = :state, worker = NULL, ready = :ready, run_at = :run_at, failures = :failures, deaths = :deaths,
    rescues = :rescues, finished_at = :finished_at, reason = :reason, error = coalesce(:error, error), note = :note
WHERE id = :id AND attempt = :attempt AND state = 'running'

-- name: keep_attempt
INSERT INTO attempts (job_id, attempt, outcome, error, traceback, worker, started_at, ended_at)
VALUES (:id, :attempt, :outcome, :error, :traceback, :worker, :started_at, :now)

-- name: let_go
UPDATE jobs
SET waiting = 0,
    ready = CASE
        WHEN state = 'queued' AND held_by IS NULL AND run_at <= greatest(created_at, :now) THEN 1 + CAST(deaths > 0 AS int)
        ELSE 0
    END
WHERE id = ANY(:ids) AND waiting = 1
RETURNING state, next_id

-- name: asked_to_cancel
SELECT id, attempt FROM jobs WHERE worker = :worker AND cancel_requested_at IS NOT NULL

-- name: contexts_of
SELECT id, context FROM jobs WHERE worker = :worker

-- name: running_of
SELECT id, attempt FROM jobs WHERE worker = :worker ORDER BY seq

-- name: next_expiry
SELECT min(expires_at) FROM jobs WHERE expires_at IS NOT NULL AND state = 'queued'

-- name: overdue
SELECT seq, id, attempt, context, failures, deaths, rescues
FROM jobs
WHERE state = 'queued' AND expires_at IS NOT NULL AND expires_at <= :now
ORDER BY expires_at
LIMIT :limit
FOR UPDATE SKIP LOCKED

-- name: expire
UPDATE jobs
SET state = 'failed', ready = 0, held_by = NULL, published_until = NULL, finished_at = :now, reason = :reason, error = :error
WHERE seq = :seq
RETURNING waiting, next_id

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

-- name: find
SELECT
    id, task, queue, priority, state, attempt, failures, max_attempts, created_at, run_at, expires_at, timeout,
    started_at, finished_at, cancel_requested_at, worker, result, reason, error, note, luggage, waiting, held_by, ready,
    engine, published_at, published_until
FROM jobs
WHERE {which}
ORDER BY seq DESC
LIMIT :limit

-- name: place_of
-- Where a job is in the order of all; where it was, if it has been pruned.
SELECT coalesce(
    (SELECT seq FROM jobs WHERE id = :before),
    (SELECT seq FROM jobs WHERE id < :before ORDER BY id DESC LIMIT 1) + 1
)

-- name: attempts
SELECT job_id, attempt, outcome, error, traceback, worker, started_at, ended_at
FROM attempts
WHERE job_id = :job
ORDER BY attempt

-- name: cancel_queued
UPDATE jobs
SET state = 'cancelled', ready = 0, held_by = NULL, published_until = NULL, finished_at = :now
WHERE {which}
RETURNING id, waiting, next_id

-- name: ask_to_cancel
UPDATE jobs
SET cancel_requested_at = coalesce(cancel_requested_at, :now)
WHERE {which}
RETURNING id

-- name: retry
UPDATE jobs
SET state = 'queued', ready = CAST(waiting = 0 AS int), run_at = :now, failures = 0, deaths = 0, rescues = 0,
    expires_at = CASE WHEN expires_at <= :now THEN NULL ELSE expires_at END,
    finished_at = NULL, cancel_requested_at = NULL, reason = NULL, result = NULL, note = 'retried by hand'
WHERE {which}
RETURNING id

-- name: pause
INSERT INTO queues (name, paused_at) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING

-- name: resume
DELETE FROM queues WHERE name = :name

-- name: queues
SELECT name, paused_at, 0, 0, 0 FROM queues
UNION ALL
SELECT queue, NULL, count(*), 0, 0 FROM jobs WHERE state = 'queued' GROUP BY queue
UNION ALL
SELECT queue, NULL, 0, count(*), 0 FROM jobs WHERE worker IS NOT NULL GROUP BY queue
UNION ALL
SELECT queue, NULL, 0, 0, count(*) FROM jobs WHERE state = 'failed' GROUP BY queue

-- name: place
SELECT seq, priority, run_at, ready, waiting, held_by IS NOT NULL AS held, deaths > 0 AS suspect
FROM jobs
WHERE id = :id

-- name: job_before
-- The one that lets it go lies a little before it: they were written together.
SELECT seq, id FROM jobs WHERE seq < :seq AND next_id = :id ORDER BY seq DESC LIMIT 1

-- name: is_paused
SELECT EXISTS (SELECT 1 FROM queues WHERE name = :name)

-- name: count_running
SELECT count(*) FROM jobs WHERE worker = :worker

-- name: ahead
-- What this worker would take before a job: that which is ready, and that which its next claim makes ready.
SELECT count(*) FROM (
    SELECT 1 FROM (
        SELECT seq, id, queue, priority, run_at, task, expires_at FROM jobs WHERE ready = {ready}
        UNION ALL
        SELECT seq, id, queue, priority, run_at, task, expires_at FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
            AND 1 + CAST(deaths > 0 AS int) = {ready}
    ) AS jobs_ahead
    WHERE (-priority, run_at, seq) < (-CAST(:priority AS int), :run_at, :seq)
        AND (CAST(:queues AS text[]) IS NULL OR queue = ANY(CAST(:queues AS text[])))
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
SELECT id FROM jobs
WHERE state = 'queued' AND held_by IS NULL AND waiting = 0 AND (ready > 0 OR run_at <= :now)
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

-- name: count_published
SELECT count(*) FROM jobs WHERE published_until > :now

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
