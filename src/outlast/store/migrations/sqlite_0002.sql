-- 0002: what came with a job beside its arguments, and what a worker lacks.

ALTER TABLE jobs ADD COLUMN files   TEXT;   -- JSON: the names of the stored files that its arguments and result use
ALTER TABLE jobs ADD COLUMN context TEXT;   -- JSON: what travels from where it was added to where it runs: trace, request id, variables

CREATE INDEX jobs_with_files ON jobs (files) WHERE files IS NOT NULL;

-- What a worker says of itself, so that others can tell why a job does not run.
ALTER TABLE workers ADD COLUMN unknown TEXT    NOT NULL DEFAULT '[]';   -- JSON: tasks of queued jobs that its code does not have
ALTER TABLE workers ADD COLUMN room    INTEGER NOT NULL DEFAULT 0;      -- jobs it can have now: those it runs and those it could start
ALTER TABLE workers ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;      -- 1: it claims no more
ALTER TABLE workers ADD COLUMN premises TEXT   NOT NULL DEFAULT '';     -- where its lock files lie: whoever shares them sees whether it lives
