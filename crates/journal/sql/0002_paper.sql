-- Papers that apps asked for: the same (app, id) is the same paper for ever. Kept in the same commit as the records that it
-- comes from (PaperQueued, PaperEnded, PaperReleased). `state` is open, done or given_up.
CREATE TABLE paper (
    app   TEXT NOT NULL,
    id    TEXT NOT NULL,
    hash  TEXT NOT NULL,
    job   INTEGER NOT NULL UNIQUE,
    state TEXT NOT NULL,
    PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;
