-- Where each writer's chain begins since its oldest rows went: number and hash of the last row that did. See
-- store/audit/anchor.rs.
CREATE TABLE audit_anchors (
    writer       TEXT    NOT NULL PRIMARY KEY,
    seq          BIGINT  NOT NULL CHECK (seq > 0),
    hash         TEXT    NOT NULL
);

-- A chain begins after a row that it has, and never with its last one.
CREATE TRIGGER audit_anchor_is_a_row BEFORE INSERT ON audit_anchors
WHEN NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq = NEW.seq AND hash = NEW.hash)
  OR NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq > NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_anchor_only_moves_on BEFORE UPDATE ON audit_anchors
WHEN NEW.writer <> OLD.writer OR NEW.seq <= OLD.seq
  OR NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq = NEW.seq AND hash = NEW.hash)
  OR NOT EXISTS (SELECT 1 FROM audit WHERE writer = NEW.writer AND seq > NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_anchor_stays BEFORE DELETE ON audit_anchors
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

-- Rows go from the beginning alone, and only after it was noted where the chain begins then.
DROP TRIGGER audit_is_never_deleted;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM audit_anchors WHERE writer = OLD.writer AND seq >= OLD.seq)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
