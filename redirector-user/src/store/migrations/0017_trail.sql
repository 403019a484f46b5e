-- People ask the trail for what happened since a time.
CREATE INDEX audit_at ON audit (at_us);
