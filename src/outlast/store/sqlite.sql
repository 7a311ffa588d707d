-- What the SQLite store says in its own way, by name; what both stores say alike is in both.sql.
-- `{which}` stands for the conditions of a JobFilter, `{ready}` for 1, or 2 for jobs that run alone.
-- SQLite uses a partial index only where the WHERE repeats the index's own, hence `ready > 0 AND ready = 1`; and it plans
-- a statement anew each time it is run if a parameter stands where an index has a constant: `ready = ?` takes 30 µs more.
-- Parameters have names, but for the three statements that are run for each of many rows.

-- name: insert
INSERT INTO jobs (
    id, task, queue, priority, luggage, files, context, owner, created_at, run_at, expires_at, timeout, max_attempts, retry,
    at_most_once, next_id, waiting, held_by, ready
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- name: unhold_all
UPDATE jobs
SET held_by = NULL, ready = iif(waiting = 0 AND run_at <= max(created_at, :now), 1 + (deaths > 0), 0)
WHERE ready = 0 AND state = 'queued' AND held_by = :server

-- name: unhold_some
UPDATE jobs
SET held_by = NULL, ready = iif(waiting = 0 AND run_at <= max(created_at, :now), 1 + (deaths > 0), 0)
WHERE ready = 0 AND state = 'queued' AND held_by = :server AND id IN (SELECT value FROM json_each(:ids))

-- name: holders
SELECT held_by, max(created_at)
FROM jobs
WHERE ready = 0 AND state = 'queued' AND held_by IS NOT NULL
GROUP BY held_by

-- name: enter
INSERT OR REPLACE INTO workers (id, host, premises, pid, queues, slots, started_at, lease_until, room, unknown, leaving,
    handed, engine)
VALUES (:id, :host, :premises, :pid, :queues, :slots, :started_at, :lease_until, :room, :unknown, :leaving,
    :handed, :engine)

-- name: queued_now
SELECT queue, count(*) FROM jobs WHERE ready > 0 GROUP BY queue
UNION ALL
SELECT queue, count(*) FROM jobs WHERE ready = 0 AND state = 'queued' GROUP BY queue

-- name: past_depths
SELECT minute - minute % :step AS beginning, max(queued)
FROM depths
WHERE minute >= :since AND queue = :queue
GROUP BY beginning

-- name: knows_worker
SELECT 1 FROM workers WHERE id = :worker

-- name: promote
UPDATE jobs
SET ready = 1 + (deaths > 0)
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
    ORDER BY run_at
    LIMIT :limit
)

-- name: any_ready
SELECT EXISTS (SELECT 1 FROM jobs WHERE ready > 0 AND ready = {ready})

-- name: queues_with_ready
WITH RECURSIVE found (name) AS (
    SELECT min(queue) FROM jobs WHERE ready > 0 AND ready = {ready}
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs WHERE ready > 0 AND ready = {ready} AND queue > found.name)
    FROM found
    WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL AND name NOT IN (SELECT name FROM queues)

-- name: next_ready
SELECT
    -priority, run_at, seq, next_id,
    id, attempt + 1, task, luggage, failures, retry, timeout, at_most_once, deaths > 0,
    context, queue, run_at
FROM jobs
WHERE ready > 0 AND ready = {ready} AND queue = :queue
    AND (expires_at IS NULL OR expires_at > :now)
    AND (published_until IS NULL OR published_until <= :now)
    AND task NOT IN (SELECT value FROM json_each(:unknown))
    AND id NOT IN (SELECT value FROM json_each(:unfit))
ORDER BY priority DESC, run_at, seq
LIMIT :limit

-- name: free_to_start
SELECT
    -priority, run_at, seq, next_id,
    id, attempt + 1, task, luggage, failures, retry, timeout, at_most_once, deaths > 0,
    context, queue, run_at
FROM jobs
WHERE id = :id AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)

-- name: claim
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = ?, started_at = ?, engine = NULL, published_until = NULL
WHERE seq = ?

-- name: any_to_offer
SELECT EXISTS (SELECT 1 FROM jobs WHERE ready > 0 AND (published_until IS NULL OR published_until <= :now))

-- name: offer
UPDATE jobs
SET engine = :engine,
    published_at = iif(published_until IS NULL, :now, published_at),
    published_until = :now + max(:lease, iif(published_until IS NULL, 0, :now - published_at))
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE ready > 0 AND ready = {ready} AND queue = :queue
        AND (expires_at IS NULL OR expires_at > :now)
        AND (published_until IS NULL OR published_until <= :now)
    ORDER BY priority DESC, run_at, seq
    LIMIT :limit
)
RETURNING -priority, run_at, seq, id, attempt + 1, task, queue, priority

-- name: claim_published
UPDATE jobs
SET state = 'running', ready = 0, attempt = attempt + 1, worker = :worker, started_at = :now, engine = :engine,
    published_until = NULL
WHERE id = :id AND attempt = :attempt - 1 AND state = 'queued' AND held_by IS NULL AND waiting = 0
    AND (expires_at IS NULL OR expires_at > :now)
    AND queue NOT IN (SELECT name FROM queues)
RETURNING id, attempt, task, luggage, failures, retry, timeout, at_most_once, deaths > 0, context,
    queue, run_at

-- name: succeed
UPDATE jobs
SET state = 'succeeded', worker = NULL, deaths = 0, rescues = 0, finished_at = ?, result = ?, note = NULL
WHERE seq = ? AND id = ? AND attempt = ? AND state = 'running'

-- name: standing
SELECT
    failures, max_attempts, deaths, rescues, retry, at_most_once, cancel_requested_at IS NOT NULL,
    run_at, worker, started_at, seq, next_id
FROM jobs
WHERE id = :id AND attempt = :attempt AND state = 'running'

-- name: let_go
UPDATE jobs
SET waiting = 0,
    ready = iif(state = 'queued' AND held_by IS NULL AND run_at <= max(created_at, :now), 1 + (deaths > 0), 0)
WHERE id = :id AND waiting = 1
RETURNING state, next_id

-- name: keep_steps
INSERT INTO progress (job_id, attempt, done, total, note, at)
SELECT
    jobs.id, jobs.attempt, json_extract(told.value, '$[2]'), json_extract(told.value, '$[3]'),
    json_extract(told.value, '$[4]'), json_extract(told.value, '$[5]')
FROM json_each(:told) AS told
JOIN jobs
    ON jobs.id = json_extract(told.value, '$[0]') AND jobs.attempt = json_extract(told.value, '$[1]')
    AND jobs.state = 'running'
WHERE true
ON CONFLICT (job_id) DO UPDATE
SET attempt = excluded.attempt, done = excluded.done, total = excluded.total, note = excluded.note, at = excluded.at
WHERE excluded.attempt >= progress.attempt

-- name: keep_lines
INSERT INTO log_lines (job_id, attempt, number, at, level, logger, text)
SELECT
    jobs.id, jobs.attempt, json_extract(told.value, '$[2]'), json_extract(told.value, '$[3]'),
    json_extract(told.value, '$[4]'), json_extract(told.value, '$[5]'), json_extract(told.value, '$[6]')
FROM json_each(:told) AS told
JOIN jobs
    ON jobs.id = json_extract(told.value, '$[0]') AND jobs.attempt = json_extract(told.value, '$[1]')
    AND jobs.state = 'running'
WHERE true
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
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: statistics
SELECT start - start % :step AS beginning, task, queue, {sums}
FROM statistics
WHERE length = :length AND start >= :since AND start < :until
GROUP BY beginning, task, queue
ORDER BY beginning, task, queue

-- name: statistics_summed
SELECT start - start % :step AS beginning, {sums}
FROM statistics
WHERE length = :length AND start >= :since AND (:task IS NULL OR task = :task)
GROUP BY beginning
ORDER BY beginning

-- name: successes
SELECT start - start % :step AS beginning, task, sum(succeeded)
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

-- name: prune
DELETE FROM jobs
WHERE seq IN (
    SELECT seq FROM jobs
    WHERE finished_at IS NOT NULL AND finished_at < :before AND waiting = 0 AND (:state IS NULL OR state = :state)
    ORDER BY finished_at
    LIMIT :limit
)
RETURNING files

-- name: keep_file
UPDATE jobs SET files = json_insert(coalesce(files, '[]'), '$[#]', :file) WHERE id = :id

-- name: files_in_use
SELECT DISTINCT each.value
FROM jobs, json_each(jobs.files) AS each
WHERE jobs.files IS NOT NULL AND each.value IN (SELECT value FROM json_each(:names))

-- name: some_queued
SELECT 1 FROM jobs WHERE ready > 0 UNION ALL SELECT 1 FROM jobs WHERE ready = 0 AND state = 'queued' LIMIT :limit

-- name: tally
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE ready > 0 LIMIT :most)),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now LIMIT :most
    )),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE ready = 0 AND state = 'queued' AND held_by IS NOT NULL LIMIT :most
    )),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 1 LIMIT :most
    )),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures = 0
        LIMIT :most
    )),
    (SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at > :now AND failures > 0
        LIMIT :most
    )),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE worker IS NOT NULL LIMIT :most)),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'failed' LIMIT :most)),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'cancelled' LIMIT :most)),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE finished_at IS NOT NULL LIMIT 3 * :most)),
    (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE published_until > :now LIMIT :most))

-- name: failures
-- Beside max() SQLite takes the other columns from the row that has it.
SELECT task, kind, count(*), min(finished_at), max(finished_at), id, error
FROM (
    SELECT task, substr(error, 1, instr(error || ':', ':') - 1) AS kind, finished_at, id, error
    FROM jobs
    WHERE {which}
)
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
WHERE started_at IS NOT NULL AND (:task IS NULL OR task = :task)
ORDER BY finished_at - started_at DESC
LIMIT :limit

-- name: retry
UPDATE jobs
SET state = 'queued', ready = (waiting = 0), run_at = :now, failures = 0, deaths = 0, rescues = 0,
    expires_at = iif(expires_at <= :now, NULL, expires_at),
    finished_at = NULL, cancel_requested_at = NULL, reason = NULL, result = NULL, note = 'retried by hand'
WHERE {which}
RETURNING id

-- name: queues
SELECT name, paused_at, 0, 0, 0 FROM queues
UNION ALL
SELECT queue, NULL, count(*), 0, 0 FROM jobs WHERE ready > 0 GROUP BY queue
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
        WHERE ready > 0 AND ready = {ready} AND (published_until IS NULL OR published_until <= :now)
        UNION ALL
        SELECT seq, id, queue, priority, run_at, task, expires_at FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
            AND 1 + (deaths > 0) = {ready}
    )
    WHERE (-priority, run_at, seq) < (-:priority, :run_at, :seq)
        AND (:queues = 'null' OR queue IN (SELECT value FROM json_each(:queues)))
        AND queue NOT IN (SELECT value FROM json_each(:handed))
        AND queue NOT IN (SELECT name FROM queues)
        AND (expires_at IS NULL OR expires_at > :now)
        AND task NOT IN (SELECT value FROM json_each(:unknown)) AND id NOT IN (SELECT value FROM json_each(:unknown))
    LIMIT :most
)

-- name: ids_like
SELECT id FROM jobs WHERE id >= :part AND id < :part || '~'
UNION
SELECT id FROM jobs WHERE substr(id, -length(:part)) = :part
LIMIT :limit

-- name: oldest_ready
SELECT id FROM jobs
WHERE seq = (
    SELECT seq FROM (
        SELECT seq, run_at FROM jobs WHERE ready > 0
        UNION ALL
        SELECT seq, run_at FROM jobs
        WHERE ready = 0 AND state = 'queued' AND held_by IS NULL AND waiting = 0 AND run_at <= :now
    )
    ORDER BY run_at, seq
    LIMIT 1
)

-- name: live_places
SELECT seq FROM jobs WHERE ready > 0
UNION ALL
SELECT seq FROM jobs WHERE ready = 0 AND state = 'queued'
UNION ALL
SELECT seq FROM jobs WHERE worker IS NOT NULL

-- name: live
SELECT id, task, luggage, state = 'running'
FROM jobs
WHERE seq IN (SELECT value FROM json_each(:places)) AND (+state = 'queued' OR +state = 'running')

-- name: counts
SELECT
    (SELECT count(*) FROM jobs WHERE ready > 0),
    held, waiting, due, scheduled, retrying,
    (SELECT count(*) FROM jobs WHERE worker IS NOT NULL),
    (SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL),
    (SELECT count(*) FROM jobs WHERE state = 'failed'),
    (SELECT count(*) FROM jobs WHERE state = 'cancelled')
FROM (
    SELECT
        count(*) FILTER (WHERE held_by IS NOT NULL) AS held,
        count(*) FILTER (WHERE held_by IS NULL AND waiting = 1) AS waiting,
        count(*) FILTER (WHERE held_by IS NULL AND waiting = 0 AND run_at <= :now) AS due,
        count(*) FILTER (WHERE held_by IS NULL AND waiting = 0 AND run_at > :now AND failures = 0) AS scheduled,
        count(*) FILTER (WHERE held_by IS NULL AND waiting = 0 AND run_at > :now AND failures > 0) AS retrying
    FROM jobs
    WHERE ready = 0 AND state = 'queued'
)

-- name: shut_insert
CREATE TRIGGER moved_insert BEFORE INSERT ON jobs BEGIN SELECT raise(ABORT, 'moved'); END

-- name: shut_update
CREATE TRIGGER moved_update BEFORE UPDATE ON jobs BEGIN SELECT raise(ABORT, 'moved'); END

-- name: shut_delete
CREATE TRIGGER moved_delete BEFORE DELETE ON jobs BEGIN SELECT raise(ABORT, 'moved'); END

-- name: open_insert
DROP TRIGGER IF EXISTS moved_insert

-- name: open_update
DROP TRIGGER IF EXISTS moved_update

-- name: open_delete
DROP TRIGGER IF EXISTS moved_delete
