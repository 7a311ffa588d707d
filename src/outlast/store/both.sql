-- Statements that both stores say alike, by name. Where the dialects differ, sqlite.sql and postgres.sql have one each.
-- `{which}` stands for the conditions of a JobFilter.

-- name: renew
UPDATE workers SET lease_until = :until, claimed_at = coalesce(:claimed_at, claimed_at) WHERE id = :worker

-- name: report
UPDATE workers SET room = :room, unknown = :unknown, leaving = :leaving WHERE id = :worker

-- name: show_children
UPDATE workers SET children = :children, seen_at = :now WHERE id = :worker

-- name: note_depth
INSERT INTO depths (minute, queue, queued) VALUES (:minute, :queue, :queued)
ON CONFLICT (minute, queue) DO UPDATE SET queued = excluded.queued

-- name: prune_depths
DELETE FROM depths WHERE minute < :before

-- name: leave
DELETE FROM workers WHERE id = :worker AND NOT EXISTS (SELECT 1 FROM jobs WHERE worker = :worker)

-- name: forget
DELETE FROM workers WHERE id = :worker

-- name: workers
SELECT
    id, host, premises, pid, queues, slots, started_at, lease_until, room, unknown, leaving, claimed_at, children, seen_at,
    handed, engine
FROM workers
ORDER BY started_at, id

-- name: next_due
SELECT min(run_at) FROM jobs WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0

-- name: in_flight
SELECT count(*) FROM jobs WHERE queue = :queue AND published_until > :now

-- name: unpublish
UPDATE jobs SET published_until = NULL WHERE id = :id AND attempt = :attempt - 1 AND published_until IS NOT NULL

-- name: entrust
UPDATE jobs SET published_until = :until, note = :note
WHERE id = :id AND attempt = :attempt - 1 AND published_until IS NOT NULL

-- name: entrusted
SELECT id, attempt + 1, task FROM jobs WHERE queue = :queue AND published_until > :now ORDER BY published_until LIMIT :limit

-- name: distrust
UPDATE jobs SET published_until = NULL WHERE queue = :queue AND published_until IS NOT NULL

-- name: end
UPDATE jobs
SET state = :state, worker = NULL, ready = :ready, run_at = :run_at, failures = :failures, deaths = :deaths,
    rescues = :rescues, finished_at = :finished_at, reason = :reason, error = coalesce(:error, error), note = :note
WHERE id = :id AND attempt = :attempt AND state = 'running'

-- name: keep_attempt
INSERT INTO attempts (job_id, attempt, outcome, error, traceback, worker, started_at, ended_at)
VALUES (:id, :attempt, :outcome, :error, :traceback, :worker, :started_at, :now)

-- name: trim_lines
DELETE FROM log_lines
WHERE job_id = :job AND (attempt, number) <= (
    SELECT attempt, number FROM log_lines WHERE job_id = :job ORDER BY attempt DESC, number DESC LIMIT 1 OFFSET :most
)

-- name: lines
SELECT attempt, number, at, level, logger, text
FROM log_lines
WHERE job_id = :job AND (attempt, number) > (:attempt, :number)
ORDER BY attempt, number
LIMIT :limit

-- name: last_lines
SELECT attempt, number, at, level, logger, text
FROM log_lines
WHERE job_id = :job
ORDER BY attempt DESC, number DESC
LIMIT :limit

-- name: owner_of
SELECT owner FROM jobs WHERE id = :id

-- name: count
INSERT INTO statistics (length, start, task, queue, {columns})
VALUES (:length, :start, :task, :queue, {values})
ON CONFLICT (length, start, task, queue) DO UPDATE SET {added}

-- name: prune_statistics
DELETE FROM statistics WHERE length = :length AND start < :before

-- name: statistics_by_task
SELECT task, queue, {sums}
FROM statistics
WHERE length = :length AND start >= :since
GROUP BY task, queue
ORDER BY task, queue

-- name: asked_to_cancel
SELECT id, attempt FROM jobs WHERE worker = :worker AND cancel_requested_at IS NOT NULL

-- name: running_of
SELECT id, attempt FROM jobs WHERE worker = :worker ORDER BY seq

-- name: contexts_of
SELECT id, context, task, queue FROM jobs WHERE worker = :worker

-- name: next_expiry
SELECT min(expires_at) FROM jobs WHERE expires_at IS NOT NULL AND state = 'queued'

-- name: expire
UPDATE jobs
SET state = 'failed', ready = 0, held_by = NULL, published_until = NULL, finished_at = :now, reason = :reason, error = :error
WHERE seq = :seq
RETURNING waiting, next_id

-- name: find
SELECT
    id, task, queue, priority, state, jobs.attempt, failures, max_attempts, created_at, run_at, expires_at, timeout,
    started_at, finished_at, cancel_requested_at, worker, result, reason, error, jobs.note, luggage, owner, waiting,
    held_by, ready, engine, published_at, published_until, progress.done, progress.total, progress.note AS doing,
    progress.at AS told_at
FROM jobs
LEFT JOIN progress ON progress.job_id = jobs.id AND progress.attempt = jobs.attempt
WHERE {which}
ORDER BY seq DESC
LIMIT :limit

-- name: place_of
-- Where a job is in the order of all; where it was, if it has been pruned.
SELECT coalesce(
    (SELECT seq FROM jobs WHERE id = :before),
    (SELECT seq FROM jobs WHERE id < :before ORDER BY id DESC LIMIT 1) + 1
)

-- name: some_running
SELECT 1 FROM jobs WHERE worker IS NOT NULL LIMIT :limit

-- name: some_failed
SELECT 1 FROM jobs WHERE state = 'failed' LIMIT :limit

-- name: some_cancelled
SELECT 1 FROM jobs WHERE state = 'cancelled' LIMIT :limit

-- name: newest_place
SELECT max(seq) FROM jobs WHERE seq < :start

-- name: place_looked_to
SELECT id FROM jobs WHERE seq >= :floor ORDER BY seq LIMIT 1

-- name: added_at
-- The nearest job at or below a place, and when it was added.
SELECT seq, created_at FROM jobs WHERE seq <= :place ORDER BY seq DESC LIMIT 1

-- name: tally_among
SELECT view, count(*)
FROM (
    SELECT CASE
            WHEN state <> 'queued' THEN state
            WHEN held_by IS NOT NULL THEN 'held'
            WHEN waiting = 1 THEN 'waiting'
            WHEN published_until > :now THEN 'published'
            WHEN ready > 0 OR run_at <= :now THEN 'ready'
            WHEN failures = 0 THEN 'scheduled'
            ELSE 'retrying'
        END AS view
    FROM jobs
    WHERE {which}
) AS viewed
GROUP BY view

-- name: behind
SELECT next_id FROM jobs WHERE id = :id

-- name: close_before
SELECT id FROM jobs WHERE seq < :seq AND seq >= :seq - 1000 AND next_id = :id ORDER BY seq DESC LIMIT 1

-- name: delete
DELETE FROM jobs
WHERE finished_at IS NOT NULL AND waiting = 0 AND {which}
RETURNING files

-- name: copy
INSERT INTO jobs (
    id, task, queue, priority, luggage, files, context, owner, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
)
SELECT
    :new_id, task, queue, priority, :luggage, files, context, owner, :now, :now, NULL, timeout, max_attempts, retry,
    at_most_once, NULL, 0, NULL, 1
FROM jobs
WHERE id = :id
ON CONFLICT (id) DO NOTHING

-- name: attempts
SELECT job_id, attempt, outcome, error, traceback, worker, started_at, ended_at
FROM attempts
WHERE job_id = :job
ORDER BY attempt

-- name: cancel_queued
UPDATE jobs
SET state = 'cancelled', ready = 0, held_by = NULL, published_until = NULL, finished_at = :now
WHERE {which}
RETURNING id, waiting, next_id, task, queue

-- name: ask_to_cancel
UPDATE jobs
SET cancel_requested_at = coalesce(cancel_requested_at, :now)
WHERE {which}
RETURNING id

-- name: pause
INSERT INTO queues (name, paused_at) VALUES (:name, :now) ON CONFLICT (name) DO NOTHING

-- name: resume
DELETE FROM queues WHERE name = :name

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

-- name: depths
SELECT queue, CASE WHEN published_until > :now THEN 'published' ELSE 'ready' END AS view, count(*), min(run_at)
FROM jobs
WHERE state = 'queued' AND ready > 0
GROUP BY queue, view
UNION ALL
SELECT queue, view, count(*), min(run_at)
FROM (
    SELECT
        queue, run_at,
        CASE
            WHEN held_by IS NOT NULL THEN 'held'
            WHEN waiting = 1 THEN 'waiting'
            WHEN run_at <= :now THEN 'ready'
            WHEN failures > 0 THEN 'retrying'
            ELSE 'scheduled'
        END AS view
    FROM jobs
    WHERE ready = 0 AND state = 'queued'
) AS unready
GROUP BY queue, view
UNION ALL
SELECT queue, 'running', count(*), CAST(NULL AS bigint) FROM jobs WHERE worker IS NOT NULL GROUP BY queue
UNION ALL
SELECT name, NULL, 0, NULL FROM queues

-- name: count_published
SELECT count(*) FROM jobs WHERE published_until > :now

-- name: facts
SELECT name, value FROM facts

-- name: state_fact
INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: drop_fact
DELETE FROM facts WHERE name = :name

-- name: top_place
SELECT coalesce(max(seq), 0) FROM jobs

-- name: lowest_place
SELECT min(seq) FROM jobs WHERE seq <= :top

-- name: jobs_below
SELECT * FROM jobs WHERE seq < :below ORDER BY seq DESC LIMIT :limit

-- name: attempts_between
SELECT attempts.*
FROM jobs
JOIN attempts ON attempts.job_id = jobs.id
WHERE jobs.seq >= :low AND jobs.seq < :high

-- name: progress_between
SELECT progress.*
FROM jobs
JOIN progress ON progress.job_id = jobs.id
WHERE jobs.seq >= :low AND jobs.seq < :high

-- name: log_lines_between
SELECT log_lines.*
FROM jobs
JOIN log_lines ON log_lines.job_id = jobs.id
WHERE jobs.seq >= :low AND jobs.seq < :high

-- name: all_statistics
SELECT * FROM statistics

-- name: all_depths
SELECT * FROM depths

-- name: is_any_running
SELECT EXISTS (SELECT 1 FROM jobs WHERE worker IS NOT NULL)

-- name: paused_queues
SELECT name, paused_at FROM queues

-- name: count_states
SELECT state, count(*) FROM jobs WHERE seq <= :top GROUP BY state

-- name: count_attempts
SELECT count(*) FROM attempts

-- name: files_used
SELECT files FROM jobs WHERE files IS NOT NULL
