-- Requests that were started and that a restored backup does not know (docs/security.md): the keyed hash of (app, id), 16 bytes, and
-- the transaction's number. They are refused for ever: nobody here knows what became of them.
CREATE TABLE lost (
    key BLOB PRIMARY KEY,
    txn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
