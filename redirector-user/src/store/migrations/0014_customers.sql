-- Customers by the operator's own key. What is personal can be erased; the key and the number stay, because
-- assignments, flags and the trail name them.
CREATE TABLE customers (
    id           TEXT    NOT NULL PRIMARY KEY,
    -- How the trail names it; never given twice.
    number       BIGINT  NOT NULL UNIQUE,
    name         TEXT,
    -- Address for mail.
    contact      TEXT,
    -- Which file brought it; NULL = a person.
    origin       TEXT,
    created_us   BIGINT  NOT NULL,
    changed_us   BIGINT  NOT NULL,
    removed_us   BIGINT
);

-- Which file brought it; NULL = a person.
ALTER TABLE assignments ADD COLUMN origin TEXT;
-- A prefix is assigned to one customer at a time.
CREATE UNIQUE INDEX assignments_current ON assignments (prefix) WHERE to_us IS NULL;
