-- What was counted of customers between two turns of the radar, in the octets of policy/rules/codec.rs. Each edge counts
-- what passes through it: it sees its own rows under the name that the common statements use.
CREATE TABLE rotations_of_edges (
    edge         TEXT    NOT NULL DEFAULT current_setting('outgate.edge'),
    id           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_us      BIGINT  NOT NULL,
    until_us     BIGINT  NOT NULL,
    sources      BIGINT  NOT NULL,
    octets       BIGINT  NOT NULL,
    seen         BYTEA   NOT NULL
);
CREATE INDEX rotations_until ON rotations_of_edges (edge, until_us);

CREATE VIEW rotations AS
    SELECT id, from_us, until_us, sources, octets, seen FROM rotations_of_edges
    WHERE edge = current_setting('outgate.edge');
