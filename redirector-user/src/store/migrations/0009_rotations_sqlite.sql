-- What was counted of customers between two turns of the radar, in the octets of policy/rules/codec.rs. In a file of
-- its own because databases call octets by different names.
CREATE TABLE rotations (
    id           INTEGER PRIMARY KEY,
    from_us      BIGINT  NOT NULL,
    until_us     BIGINT  NOT NULL,
    sources      BIGINT  NOT NULL,
    octets       BIGINT  NOT NULL,
    seen         BLOB    NOT NULL
);
CREATE INDEX rotations_until ON rotations (until_us);
