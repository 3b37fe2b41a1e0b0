-- What was sealed with a record: of each value its transaction (8 bytes, big endian) and the SHA-256 of the cipher text. The chain
-- covers these, so that erasing a sealed value does not break it.
ALTER TABLE record ADD COLUMN sealed BLOB;
-- The hash chain (docs/security.md): the record's HMAC over the one before it and its own row, under a key of the vault. It begins
-- with the first record after this migration; `chain_start` in meta says with which.
ALTER TABLE record ADD COLUMN chain BLOB;
-- The snapshot's HMAC over the chain at its record and its own row.
ALTER TABLE snapshot ADD COLUMN chain BLOB;
-- The record that `outcome` is from.
ALTER TABLE txn ADD COLUMN told INTEGER;
