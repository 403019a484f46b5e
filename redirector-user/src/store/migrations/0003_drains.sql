-- Relays that take no new connections by a person's word. A row goes when that word is taken back; the trail keeps
-- both.
CREATE TABLE drains (
    relay        TEXT    NOT NULL PRIMARY KEY,
    reason       TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    since_us     BIGINT  NOT NULL
);
