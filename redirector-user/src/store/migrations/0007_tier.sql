-- Of a redirect: what of its mail the relay may look at. NULL is what the relay's own configuration says.
ALTER TABLE flags ADD COLUMN tier TEXT;
