-- A flag that is to stand for ever: seconds from one review to the next; NULL = an ordinary flag. Once it is approved, its
-- expires_us is a far day, and review_us the day on which somebody is to look at it again.
ALTER TABLE flags ADD COLUMN review_s BIGINT CHECK (review_s > 0);
-- pending, approved or rejected.
ALTER TABLE flags ADD COLUMN approval TEXT;
-- Who has approved or rejected it, and when.
ALTER TABLE flags ADD COLUMN decided_by TEXT;
ALTER TABLE flags ADD COLUMN decided_us BIGINT;
ALTER TABLE flags ADD COLUMN review_us BIGINT;
-- 1 = it was told that this day has come.
ALTER TABLE flags ADD COLUMN review_told BIGINT;
