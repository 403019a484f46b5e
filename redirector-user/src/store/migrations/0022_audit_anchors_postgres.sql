-- As 0022_audit_anchors_sqlite.sql: where each writer's chain begins since its oldest rows went.
CREATE TABLE audit_anchors (
    writer       TEXT    NOT NULL PRIMARY KEY,
    seq          BIGINT  NOT NULL CHECK (seq > 0),
    hash         TEXT    NOT NULL
);

-- A chain begins after a row that it has, and never with its last one; an anchor only moves on.
CREATE FUNCTION check_anchor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq = NEW.seq AND hash = NEW.hash)
      OR NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq > NEW.seq) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.writer <> OLD.writer OR NEW.seq <= OLD.seq) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_anchor_is_a_row BEFORE INSERT ON audit_anchors FOR EACH ROW
EXECUTE FUNCTION check_anchor();

CREATE TRIGGER audit_anchor_only_moves_on BEFORE UPDATE ON audit_anchors FOR EACH ROW
EXECUTE FUNCTION check_anchor();

CREATE TRIGGER audit_anchor_stays BEFORE DELETE ON audit_anchors FOR EACH ROW
EXECUTE FUNCTION refuse_change_of_trail();

CREATE TRIGGER audit_anchor_is_never_emptied BEFORE TRUNCATE ON audit_anchors
EXECUTE FUNCTION refuse_change_of_trail();

-- Rows go from the beginning alone, and only after it was noted where the chain begins then.
CREATE FUNCTION check_row_may_go() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_anchors WHERE writer = OLD.writer AND seq >= OLD.seq) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER audit_is_never_deleted ON audit;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit FOR EACH ROW
EXECUTE FUNCTION check_row_may_go();
