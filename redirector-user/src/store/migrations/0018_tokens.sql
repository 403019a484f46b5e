-- Tokens of the API. Of a secret only its SHA-256 is kept, so nobody can be let in by what stands here.
CREATE TABLE tokens (
    name         TEXT    NOT NULL PRIMARY KEY,
    scope        TEXT    NOT NULL,
    digest       TEXT    NOT NULL UNIQUE,
    created_us   BIGINT  NOT NULL,
    created_by   TEXT    NOT NULL,
    expires_us   BIGINT  NOT NULL CHECK (expires_us > created_us),
    -- Beginning of the day on which it was last of use, in UTC; NULL = never.
    used_us      BIGINT
);
