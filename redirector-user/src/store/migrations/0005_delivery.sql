-- Of a redirect: when the customer hears 250. NULL is what was the only way before: when its destination has said so.
ALTER TABLE flags ADD COLUMN delivery TEXT;
