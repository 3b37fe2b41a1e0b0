-- The journal and what is derived from it. Written only through the daemon's commit rule; STRICT everywhere.
-- Times are milliseconds since 1970-01-01T00:00:00Z, amounts are minor units of `currency`.

-- Facts about this file: which version ran each migration.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, in order: seq starts at 1 and has no gaps. `version` is the record encoding's.
CREATE TABLE record (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    txn     INTEGER,
    version INTEGER NOT NULL,
    json    TEXT NOT NULL,
    type    TEXT NOT NULL GENERATED ALWAYS AS (json ->> '$.type') VIRTUAL
) STRICT;
-- The dispute page of one transaction.
CREATE INDEX record_of_txn ON record (txn) WHERE txn IS NOT NULL;

-- One row a transaction, kept in the same commit as the records that it comes from (Started, Allowed, Outcome, Voided):
-- the columns that are searched, and the outcome as it was last recorded.
CREATE TABLE txn (
    txn        INTEGER PRIMARY KEY,
    app        TEXT NOT NULL,
    id         TEXT NOT NULL,
    hash       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    status     TEXT NOT NULL,
    account    TEXT,
    amount     INTEGER,
    currency   TEXT NOT NULL,
    masked_pan TEXT,
    stan       INTEGER,
    batch      INTEGER,
    rrn        TEXT,
    started    INTEGER NOT NULL,
    ended      INTEGER,
    voided_by  INTEGER,
    outcome    TEXT NOT NULL,
    UNIQUE (app, id)
) STRICT;
-- The original of a void is named by one of these.
CREATE INDEX txn_by_rrn  ON txn (rrn)  WHERE rrn IS NOT NULL;
CREATE INDEX txn_by_stan ON txn (stan) WHERE stan IS NOT NULL;

-- PANs that an obligation or the open batch still needs, sealed by the vault under the transaction's number.
CREATE TABLE sealed (
    txn  INTEGER PRIMARY KEY,
    blob BLOB NOT NULL
) STRICT;

-- The machine's state after record `seq`; start loads the last one and the records behind it.
CREATE TABLE snapshot (
    seq     INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    json    TEXT NOT NULL
) STRICT;
