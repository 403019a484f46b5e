-- Who may submit mail to the relays. No password stands here: an Argon2id hash, and, unless it was not wanted, the keys
-- of SCRAM-SHA-256 (RFC 5802 section 3). A row goes when its user is removed; the trail keeps that there was one.
CREATE TABLE users (
    -- How the trail names it: never used again.
    id                     BIGINT  NOT NULL PRIMARY KEY,
    -- In lower case.
    name                   TEXT    NOT NULL UNIQUE,
    customer               TEXT,
    password               TEXT    NOT NULL,
    scram_salt             TEXT,
    scram_iterations       BIGINT,
    scram_stored_key       TEXT,
    scram_server_key       TEXT,
    -- Parted by spaces; empty = any.
    sender_domains         TEXT    NOT NULL,
    messages_per_hour      BIGINT  NOT NULL CHECK (messages_per_hour > 0),
    recipients_per_message BIGINT  NOT NULL CHECK (recipients_per_message > 0),
    disabled               BIGINT  NOT NULL CHECK (disabled IN (0, 1)),
    created_us             BIGINT  NOT NULL,
    changed_us             BIGINT  NOT NULL,
    CHECK ((scram_salt IS NULL) = (scram_iterations IS NULL)),
    CHECK ((scram_salt IS NULL) = (scram_stored_key IS NULL)),
    CHECK ((scram_salt IS NULL) = (scram_server_key IS NULL))
);

-- One row: what users have in common.
CREATE TABLE submission (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    -- Hexadecimal; what the salts of users are made of that do not exist.
    decoy      TEXT    NOT NULL,
    -- The greatest number that a user ever had.
    last_id    BIGINT  NOT NULL
);
