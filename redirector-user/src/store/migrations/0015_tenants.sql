-- For which assignment a flag was made; NULL = nobody had the prefix then, as far as was known.
ALTER TABLE flags ADD COLUMN customer TEXT;
ALTER TABLE flags ADD COLUMN tenancy_prefix TEXT;
ALTER TABLE flags ADD COLUMN tenancy_us BIGINT;
-- Which file brought it; NULL = a person, a program, or a rule.
ALTER TABLE flags ADD COLUMN origin TEXT;
