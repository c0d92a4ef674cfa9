-- The answers of mutations that came with an idempotency key, stored in the transaction of the writes. See
-- docs/adr/0041-idempotency-keys.md.

CREATE TABLE gom.idempotency_key (
  -- A digest: whose key it is, and of which schema's API.
  viewer bytea NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- A digest of the first request with it, with the role and claims that decide what it does: another one cannot have the same
  -- key.
  request bytea NOT NULL,
  -- By the number of the root field in the document: the answer as JSON text, '' for none, '!' for one that was too large to be
  -- stored, '~' for one that was removed when its session logged out. Null: not carried out.
  answers text[] NOT NULL DEFAULT '{}',
  -- The handle of the session with which the answers are removed; null of the service, and afterwards.
  session text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (viewer, key)
-- Each row is updated once for each answer, mostly at once.
) WITH (fillfactor = 70);
CREATE INDEX idempotency_key_created_at ON gom.idempotency_key (created_at);
CREATE INDEX idempotency_key_session ON gom.idempotency_key (session) WHERE session IS NOT NULL;
