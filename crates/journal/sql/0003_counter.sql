-- What later transactions did to one, kept in the same commit as the records that it comes from (Completed, Adjusted, RefundHeld,
-- RefundFreed, Released).
ALTER TABLE txn ADD COLUMN completed_by INTEGER;
ALTER TABLE txn ADD COLUMN adjusted_by INTEGER;
-- What the adjustment added, minor units.
ALTER TABLE txn ADD COLUMN tip INTEGER;
-- What refunds have taken of it, minor units; those that may have left included.
ALTER TABLE txn ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0;
-- Pre-authorisations are named by their authorisation code too.
CREATE INDEX txn_by_auth_code ON txn (outcome ->> '$.auth_code') WHERE kind = 'pre_auth' AND status = 'approved';

-- A record's type is json ->> '$.type'; a generated column of it is worked out again at each insert.
ALTER TABLE record DROP COLUMN type;
