-- Written in what SQLite and PostgreSQL have in common. Times are microseconds since 1970-01-01 UTC, hashes
-- lower-case hexadecimal. What only one of them understands stands in a file of its own.

-- One row: the state of the policy, and who writes the trail here.
CREATE TABLE meta (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    generation   BIGINT  NOT NULL,
    -- Names this controller in the trail, for ever.
    writer       TEXT    NOT NULL,
    -- What relays learn from the configuration; another value is a new generation.
    published    TEXT    NOT NULL
);

-- Every flag there ever was. A flag is never deleted: it ends.
CREATE TABLE flags (
    id           BIGINT  NOT NULL PRIMARY KEY,
    prefix       TEXT    NOT NULL,
    family       INTEGER NOT NULL CHECK (family IN (4, 6)),
    action       TEXT    NOT NULL,
    -- Of a redirect; NULL otherwise.
    pool         TEXT,
    treatment    TEXT,
    egress       TEXT,
    -- Of a limit: new connections an hour, and at once; NULL otherwise.
    per_hour     BIGINT  CHECK (per_hour BETWEEN 1 AND 65535),
    burst        BIGINT  CHECK (burst BETWEEN 1 AND 65535),
    reason       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    ticket       TEXT,
    grace_s      BIGINT  NOT NULL,
    generation   BIGINT  NOT NULL,
    replaces     BIGINT  REFERENCES flags (id),
    created_us   BIGINT  NOT NULL,
    expires_us   BIGINT  NOT NULL CHECK (expires_us > created_us),
    -- When the kernel first had it.
    activated_us BIGINT,
    ended_us     BIGINT,
    ended_by     TEXT,
    ended_reason TEXT,
    CHECK ((pool IS NULL) = (action <> 'redirect')),
    CHECK ((per_hour IS NULL) = (action <> 'limit')),
    CHECK ((burst IS NULL) = (action <> 'limit')),
    CHECK ((ended_us IS NULL) = (ended_by IS NULL)),
    CHECK ((ended_us IS NULL) = (ended_reason IS NULL))
);

-- The dial has one position per prefix.
CREATE UNIQUE INDEX flags_active ON flags (prefix) WHERE ended_us IS NULL;
CREATE INDEX flags_prefix ON flags (prefix, id);

-- Who had which prefix when: from `from_us` inclusive to `to_us` exclusive, NULL = still.
CREATE TABLE assignments (
    prefix       TEXT    NOT NULL,
    family       INTEGER NOT NULL CHECK (family IN (4, 6)),
    customer     TEXT    NOT NULL,
    from_us      BIGINT  NOT NULL,
    to_us        BIGINT,
    PRIMARY KEY (prefix, from_us),
    CHECK (to_us IS NULL OR to_us > from_us)
);
CREATE INDEX assignments_customer ON assignments (customer, from_us);

-- The trail: append-only, one hash chain per writer. See audit.rs for what the hashes cover.
CREATE TABLE audit (
    writer       TEXT    NOT NULL,
    seq          BIGINT  NOT NULL,
    at_us        BIGINT  NOT NULL,
    actor        TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    -- What it is about, as flag:12; never personal data.
    subject      TEXT    NOT NULL,
    -- JSON; NULL once erased, together with the salt.
    payload      TEXT,
    salt         TEXT,
    payload_hash TEXT    NOT NULL,
    prev_hash    TEXT    NOT NULL,
    hash         TEXT    NOT NULL,
    PRIMARY KEY (writer, seq),
    CHECK ((payload IS NULL) = (salt IS NULL))
);
CREATE INDEX audit_subject ON audit (subject, at_us);
