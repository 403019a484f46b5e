-- How far each webhook has been told, by its name in the configuration.
CREATE TABLE webhooks (
    name         TEXT    NOT NULL PRIMARY KEY,
    -- Every event up to this number was taken, not wanted, or given up.
    through      BIGINT  NOT NULL,
    taken_us     BIGINT,
    -- Attempts that have failed since then, and since when.
    failures     BIGINT  NOT NULL,
    failing_us   BIGINT,
    next_us      BIGINT,
    error        TEXT,
    -- Digest of the configuration by which it has said that it is gone.
    stopped      TEXT,
    CHECK ((failures = 0) = (failing_us IS NULL))
);

-- Whether nobody writes to the customer about a flag.
ALTER TABLE flags ADD COLUMN quiet BIGINT NOT NULL DEFAULT 0;

-- One row: up to which event notices have been made (NULL = none are), and the number of the last.
CREATE TABLE notice_state (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    through      BIGINT,
    last_id      BIGINT  NOT NULL
);
INSERT INTO notice_state (one, through, last_id) VALUES (1, NULL, 0);

-- What customers are told, and were told until that is forgotten.
CREATE TABLE notices (
    id           BIGINT  NOT NULL PRIMARY KEY,
    prefix       TEXT    NOT NULL,
    -- Whom to.
    mail         TEXT    NOT NULL,
    -- JSON: the turns of the dial that it tells of.
    steps        TEXT    NOT NULL,
    created_us   BIGINT  NOT NULL,
    -- Not before then is it tried, or tried again.
    next_us      BIGINT  NOT NULL,
    attempts     BIGINT  NOT NULL,
    error        TEXT,
    -- NULL = waiting; else 'sent' or 'lost'.
    outcome      TEXT    CHECK (outcome IN ('sent', 'lost')),
    done_us      BIGINT,
    CHECK ((outcome IS NULL) = (done_us IS NULL))
);
CREATE INDEX notices_waiting ON notices (next_us) WHERE outcome IS NULL;
CREATE INDEX notices_prefix ON notices (prefix, id);
