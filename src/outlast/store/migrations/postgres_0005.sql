-- 0005: jobs that the workers of an engine (Celery, RQ, Dramatiq) run. A job whose message is under way stays queued.

ALTER TABLE jobs
    ADD COLUMN engine          text,    -- whose workers run it, or ran it last; NULL: Outlast's own
    ADD COLUMN published_at    bigint,  -- when the message of the coming, or the last, attempt was first published
    ADD COLUMN published_until bigint,  -- until when that message is not taken for lost; NULL: none is under way
    ADD CONSTRAINT only_a_ready_job_is_published CHECK (published_until IS NULL OR ready > 0);

CREATE INDEX jobs_published ON jobs (queue, published_until) WHERE published_until IS NOT NULL;

ALTER TABLE workers ADD COLUMN handed text NOT NULL DEFAULT '[]';   -- JSON: the queues that it hands over, and how
ALTER TABLE workers ADD COLUMN engine text;                         -- whose process it is, if an engine's
