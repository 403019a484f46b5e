-- The trail is append-only; the one change allowed is erasing a payload with its salt. As 0002_append_only_sqlite.sql.
CREATE FUNCTION refuse_change_of_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit FOR EACH ROW
WHEN (NEW.payload IS NOT NULL OR NEW.salt IS NOT NULL
  OR NEW.writer <> OLD.writer OR NEW.seq <> OLD.seq OR NEW.at_us <> OLD.at_us
  OR NEW.actor <> OLD.actor OR NEW.kind <> OLD.kind OR NEW.subject <> OLD.subject
  OR NEW.payload_hash <> OLD.payload_hash OR NEW.prev_hash <> OLD.prev_hash OR NEW.hash <> OLD.hash)
EXECUTE FUNCTION refuse_change_of_trail();

CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit FOR EACH ROW
EXECUTE FUNCTION refuse_change_of_trail();

CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
EXECUTE FUNCTION refuse_change_of_trail();
