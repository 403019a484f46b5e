-- Answers to requests that had a key of their own (Idempotency-Key), for a day: whoever asks again hears the same.
CREATE TABLE requests (
    caller       TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    -- Of method, path, query and body.
    digest       TEXT    NOT NULL,
    at_us        BIGINT  NOT NULL,
    -- NULL while it is being answered.
    status       BIGINT,
    body         TEXT,
    PRIMARY KEY (caller, key),
    CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX requests_at ON requests (at_us);
