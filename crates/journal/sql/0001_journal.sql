-- The journal and what is derived from it. Written only through the engine's commit rule; STRICT everywhere.
-- Times are milliseconds since 1970-01-01T00:00:00Z, amounts are minor units of `currency`.

-- Facts about this file: which version ran each migration, and `chain_start`, which proves the chain's key.
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
    -- What was sealed with a record: of each value its transaction (8 bytes, big endian) and the SHA-256 of
    -- the cipher text. The chain covers these, so that erasing a sealed value does not break it.
    sealed  BLOB,
    -- The hash chain (docs/security.md): the record's HMAC over the one before it and its own row, under a
    -- key of the vault.
    chain   BLOB NOT NULL
) STRICT;
-- The dispute page of one transaction.
CREATE INDEX record_of_txn ON record (txn) WHERE txn IS NOT NULL;

-- One row a transaction, kept in the same commit as the records that it comes from: the columns that are
-- searched, and the outcome as it was last recorded.
CREATE TABLE txn (
    txn          INTEGER PRIMARY KEY,
    app          TEXT NOT NULL,
    id           TEXT NOT NULL,
    hash         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    status       TEXT NOT NULL,
    account      TEXT,
    amount       INTEGER,
    currency     TEXT NOT NULL,
    masked_pan   TEXT,
    stan         INTEGER,
    batch        INTEGER,
    rrn          TEXT,
    started      INTEGER NOT NULL,
    ended        INTEGER,
    outcome      TEXT NOT NULL,
    -- The record that `outcome` is from.
    told         INTEGER NOT NULL,
    -- What later transactions did to this one.
    voided_by    INTEGER,
    completed_by INTEGER,
    adjusted_by  INTEGER,
    -- What the adjustment added, minor units.
    tip          INTEGER,
    -- What refunds have taken of it, minor units; those that may have left included.
    refunded     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app, id)
) STRICT;
-- The original of a void is named by one of these; and no two payments of an account have one RRN.
CREATE INDEX txn_by_rrn  ON txn (rrn, account) WHERE rrn IS NOT NULL;
CREATE INDEX txn_by_stan ON txn (stan) WHERE stan IS NOT NULL;
-- Pre-authorisations are named by their authorisation code too.
CREATE INDEX txn_by_auth_code ON txn (outcome ->> '$.auth_code')
    WHERE kind = 'pre_auth' AND status = 'approved';

-- PANs that an obligation or the open batch still needs, sealed by the vault under the transaction's number.
CREATE TABLE sealed (
    txn  INTEGER PRIMARY KEY,
    blob BLOB NOT NULL
) STRICT;

-- The machine's state after record `seq`; start loads the last one and the records behind it. `chain` is its
-- HMAC over the chain at its record and its own row.
CREATE TABLE snapshot (
    seq     INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    json    TEXT NOT NULL,
    chain   BLOB NOT NULL
) STRICT;

-- Papers that apps asked for: the same (app, id) is the same paper for ever. Kept in the same commit as the
-- records that it comes from. `state` is open, done or given_up.
CREATE TABLE paper (
    app   TEXT NOT NULL,
    id    TEXT NOT NULL,
    hash  TEXT NOT NULL,
    job   INTEGER NOT NULL UNIQUE,
    state TEXT NOT NULL,
    PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;

-- Requests that were started and that a restored backup does not know (docs/security.md): the keyed hash of
-- (app, id), 16 bytes, and the transaction's number. They are refused for ever: nobody here knows what became
-- of them.
CREATE TABLE lost (
    key BLOB PRIMARY KEY,
    txn INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
