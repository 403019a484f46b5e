-- Destinations that nobody is redirected away from. Never deleted: a bypass ends.
CREATE TABLE bypasses (
    id           BIGINT  NOT NULL PRIMARY KEY,
    prefix       TEXT    NOT NULL,
    family       INTEGER NOT NULL CHECK (family IN (4, 6)),
    why          TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    created_us   BIGINT  NOT NULL,
    -- NULL = until somebody lifts it.
    until_us     BIGINT  CHECK (until_us > created_us),
    ended_us     BIGINT,
    ended_by     TEXT,
    ended_reason TEXT,
    CHECK ((ended_us IS NULL) = (ended_by IS NULL)),
    CHECK ((ended_us IS NULL) = (ended_reason IS NULL))
);

-- One per prefix at a time.
CREATE UNIQUE INDEX bypasses_standing ON bypasses (prefix) WHERE ended_us IS NULL;
