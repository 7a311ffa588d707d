-- 0002: what a store knows of itself: where its jobs have gone, and where they came from.

CREATE TABLE facts (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL                     -- JSON
);

-- Before the jobs of a store that were moved stands a trigger that calls this: whoever writes there is told where they are.
CREATE FUNCTION jobs_have_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE told text;
BEGIN
    EXECUTE format('SELECT value FROM %I.facts WHERE name = ''moved_to''', TG_TABLE_SCHEMA) INTO told;
    RAISE EXCEPTION USING
        ERRCODE = 'OL001',
        MESSAGE = format('the jobs of schema %s were moved to %s', TG_TABLE_SCHEMA, told::json ->> 'store'),
        DETAIL = told;
END $$;
