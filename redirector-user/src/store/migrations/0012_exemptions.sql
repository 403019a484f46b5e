-- Customers that cannot be flagged for a while. Never deleted: an exemption ends.
CREATE TABLE exemptions (
    id           BIGINT  NOT NULL PRIMARY KEY,
    prefix       TEXT    NOT NULL,
    family       INTEGER NOT NULL CHECK (family IN (4, 6)),
    -- Into another system: the contract, the ticket.
    reference    TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    created_us   BIGINT  NOT NULL,
    until_us     BIGINT  NOT NULL CHECK (until_us > created_us),
    -- It protects from then on; NULL = a second person is yet to agree.
    approved_us  BIGINT,
    approved_by  TEXT,
    ended_us     BIGINT,
    ended_by     TEXT,
    ended_reason TEXT,
    CHECK ((approved_us IS NULL) = (approved_by IS NULL)),
    CHECK ((ended_us IS NULL) = (ended_by IS NULL)),
    CHECK ((ended_us IS NULL) = (ended_reason IS NULL))
);

-- One per prefix at a time.
CREATE UNIQUE INDEX exemptions_standing ON exemptions (prefix) WHERE ended_us IS NULL;

-- Why a flag is there although its customer was exempt; NULL = it was not.
ALTER TABLE flags ADD COLUMN despite_exemption TEXT;
