-- The trail is append-only; the one change allowed is erasing a payload with its salt.
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
WHEN NEW.payload IS NOT NULL OR NEW.salt IS NOT NULL
  OR NEW.writer <> OLD.writer OR NEW.seq <> OLD.seq OR NEW.at_us <> OLD.at_us
  OR NEW.actor <> OLD.actor OR NEW.kind <> OLD.kind OR NEW.subject <> OLD.subject
  OR NEW.payload_hash <> OLD.payload_hash OR NEW.prev_hash <> OLD.prev_hash OR NEW.hash <> OLD.hash
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
