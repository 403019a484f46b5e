-- Of a redirect: the name of its limits in the relays' configurations. NULL is what everybody may.
ALTER TABLE flags ADD COLUMN limits TEXT;
