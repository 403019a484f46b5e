-- Several controllers on one store: what is each edge's own, and how each hears what the others have changed.

-- Who writes the trail at each edge, and what relays learn there from the configuration. With SQLite that stands in
-- meta, whose generation is everybody's.
CREATE TABLE edges (
    name         TEXT    NOT NULL PRIMARY KEY,
    writer       TEXT    NOT NULL UNIQUE,
    published    TEXT    NOT NULL
);
INSERT INTO meta (one, generation, writer, published) VALUES (1, 0, '', '');

-- One row, which whoever changes anything holds until it is committed: so changes are in one order, and their numbers,
-- too. The number of the last change, and of the last one that stands in changes no more.
CREATE TABLE feed (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    head         BIGINT  NOT NULL,
    gone         BIGINT  NOT NULL
);
INSERT INTO feed (one, head, gone) VALUES (1, 0, 0);

-- What each change was about: a flag by its number, anything else as a whole.
CREATE TABLE changes (
    seq          BIGINT  NOT NULL,
    what         TEXT    NOT NULL,
    key          BIGINT  NOT NULL,
    PRIMARY KEY (seq, what, key)
);

-- The number of the change that this transaction is: taken once, told to everybody when it is committed.
CREATE FUNCTION number_of_change() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number bigint := NULLIF(current_setting('outgate.change', true), '');
BEGIN
    IF number IS NULL THEN
        UPDATE feed SET head = head + 1 WHERE one = 1 RETURNING head INTO number;
        PERFORM set_config('outgate.change', number::text, true);
        PERFORM pg_notify('outgate', 'change');
    END IF;
    RETURN number;
END $$;

CREATE FUNCTION note_flags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM changed) THEN
        INSERT INTO changes (seq, what, key) SELECT number_of_change(), 'flag', id FROM changed
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER flags_added AFTER INSERT ON flags REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION note_flags();
CREATE TRIGGER flags_changed AFTER UPDATE ON flags REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION note_flags();

-- What is small is read anew as a whole. For each row: a statement that changes none is no change.
CREATE FUNCTION note_table() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (seq, what, key) VALUES (number_of_change(), TG_TABLE_NAME, 0) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER meta_changed AFTER UPDATE ON meta
FOR EACH ROW WHEN (NEW.generation <> OLD.generation) EXECUTE FUNCTION note_table();
CREATE TRIGGER drains_changed AFTER INSERT OR UPDATE OR DELETE ON drains
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER freezes_changed AFTER INSERT OR UPDATE OR DELETE ON freezes
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER users_changed AFTER INSERT OR UPDATE OR DELETE ON users
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER submission_changed AFTER UPDATE ON submission
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER conduct_changed AFTER INSERT OR UPDATE OR DELETE ON conduct
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER exemptions_changed AFTER INSERT OR UPDATE OR DELETE ON exemptions
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER bypasses_changed AFTER INSERT OR UPDATE OR DELETE ON bypasses
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER assignments_changed AFTER INSERT OR UPDATE OR DELETE ON assignments
FOR EACH ROW EXECUTE FUNCTION note_table();
CREATE TRIGGER tokens_added AFTER INSERT OR DELETE ON tokens
FOR EACH ROW EXECUTE FUNCTION note_table();

-- Who follows the events at another edge hears of them at once, too.
CREATE FUNCTION tell_of_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outgate', 'event');
    RETURN NULL;
END $$;
CREATE TRIGGER events_numbered AFTER UPDATE ON event_numbers
FOR EACH STATEMENT EXECUTE FUNCTION tell_of_events();
