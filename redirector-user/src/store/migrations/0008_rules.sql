-- What rules do by themselves. The figures that caused a flag, as JSON; NULL = a person's.
ALTER TABLE flags ADD COLUMN cause TEXT;

-- What may not act by itself, by a person's word. A row goes when that word is taken back; the trail keeps both.
CREATE TABLE freezes (
    what         TEXT    NOT NULL PRIMARY KEY,
    reason       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    since_us     BIGINT  NOT NULL
);

-- How customers have behaved after flags that rules had made.
CREATE TABLE conduct (
    customer     TEXT    NOT NULL PRIMARY KEY,
    lifts        BIGINT  NOT NULL CHECK (lifts >= 0),
    -- JSON; NULL = it is not on probation.
    probation    TEXT,
    pardoned_us  BIGINT,
    changed_us   BIGINT  NOT NULL
);

-- What rules have done, would have done, or were kept from doing. Forgotten with the figures behind it.
CREATE TABLE firings (
    id           BIGINT  NOT NULL PRIMARY KEY,
    at_us        BIGINT  NOT NULL,
    customer     TEXT    NOT NULL,
    rule         TEXT    NOT NULL,
    outcome      TEXT    NOT NULL,
    -- What it was about, as JSON.
    detail       TEXT    NOT NULL
);
CREATE INDEX firings_at ON firings (at_us);
