-- 0004: what those who watch are shown: the children of workers, and how deep the queues were.

ALTER TABLE workers ADD COLUMN children text NOT NULL DEFAULT '[]';   -- JSON: process, standing, bytes, jobs of each
ALTER TABLE workers ADD COLUMN seen_at  bigint;                       -- when it last said that it lives; null: not since it entered

CREATE TABLE depths (                       -- the jobs that were queued, once a minute
    minute bigint NOT NULL,
    queue  text COLLATE "C" NOT NULL,       -- '' for all queues together
    queued bigint NOT NULL,
    PRIMARY KEY (minute, queue)
);
