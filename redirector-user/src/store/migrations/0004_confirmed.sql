-- Of a redirect: 1 = its abuse is known, and the relay never splices its TLS by what it learns.
ALTER TABLE flags ADD COLUMN confirmed BIGINT NOT NULL DEFAULT 0 CHECK (confirmed IN (0, 1));
