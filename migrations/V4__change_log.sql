-- The change log: what triggers write of every changed row, in the transaction that changes it, and the positions by
-- which it is delivered. See docs/adr/0011-change-log.md.

-- Append-only. The sequence orders the changes of one row, because the row's lock orders its writers.
CREATE TABLE gom.change (
  sequence bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  transaction bigint NOT NULL DEFAULT txid_current(),
  schema_name text NOT NULL,
  table_name text NOT NULL,
  -- C, U, D: a node's row. T: a node that the API was asked to update without a column of its own.
  -- L, R: a row of a relation table came, went. A, V: a value of a scalar list came, went.
  kind "char" NOT NULL,
  -- The node's id; in relation tables the id at end A.
  node text NOT NULL,
  -- In relation tables the id at end B.
  partner text,
  -- U: the columns whose values differ.
  columns text[],
  -- U, D: the row before. V: the value and its position.
  old jsonb,
  -- C, U: the new values of columns that hold links.
  links jsonb
);

-- Append-only: one row for each committed transaction, in the order of delivery.
CREATE TABLE gom.stamp (
  position bigint PRIMARY KEY,
  transaction bigint NOT NULL,
  first_sequence bigint NOT NULL,
  last_sequence bigint NOT NULL,
  changes integer NOT NULL,
  stamped_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row: how far stamping has come. Its lock lets one node stamp at a time.
CREATE TABLE gom.feed (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch bigint NOT NULL,
  -- The last one given.
  position bigint NOT NULL DEFAULT 0,
  -- The last one that is not kept any more.
  oldest bigint NOT NULL DEFAULT 0,
  -- The highest sequence that was looked at.
  seen bigint NOT NULL DEFAULT 0,
  -- Ranges of sequences up to it that were not there: of transactions that were open, or that were rolled back. They have all
  -- ended once no transaction below gap_until runs, which is known from the second look on.
  gap_from bigint[] NOT NULL DEFAULT '{}',
  gap_to bigint[] NOT NULL DEFAULT '{}',
  gap_until bigint[] NOT NULL DEFAULT '{}',
  -- Which database this is: a backup that was restored elsewhere has another one.
  identity text NOT NULL
) WITH (fillfactor = 20);

CREATE FUNCTION gom.database_identity() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  cluster text := '';
BEGIN
  BEGIN
    SELECT format('%s/%s', s.system_identifier, c.timeline_id) INTO cluster
    FROM pg_control_system() s, pg_control_checkpoint() c;
  EXCEPTION WHEN insufficient_privilege THEN
    -- Not everybody may look; the database's own number must do.
  END;
  RETURN format('%s/%s', cluster, (SELECT oid FROM pg_database WHERE datname = current_database()));
END
$$;

CREATE FUNCTION gom.new_epoch() RETURNS bigint LANGUAGE sql AS $$
  -- 48 random bits.
  SELECT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 12))::bit(48)::bigint | 1
$$;

INSERT INTO gom.feed (epoch, identity) VALUES (gom.new_epoch(), gom.database_identity());

-- Where the log stands. A restored backup begins a new epoch, so that positions of its other life are not taken for its own.
CREATE FUNCTION gom.open_feed(OUT epoch bigint, OUT "position" bigint, OUT oldest bigint) LANGUAGE plpgsql AS $$
DECLARE
  mine text := gom.database_identity();
BEGIN
  IF EXISTS (SELECT 1 FROM gom.feed f WHERE f.identity <> mine) THEN
    UPDATE gom.feed f SET epoch = gom.new_epoch(), identity = mine, oldest = f.position,
      -- Transactions of the other life have ended, and their numbers mean nothing here.
      seen = coalesce((SELECT max(c.sequence) FROM gom.change c), f.seen), gap_from = '{}', gap_to = '{}', gap_until = '{}'
    WHERE f.identity <> mine;
  END IF;
  SELECT f.epoch, f.position, f.oldest INTO STRICT epoch, "position", oldest FROM gom.feed f;
END
$$;

-- Gives positions to the transactions that have committed since the last time; the last position.
--
-- A transaction's rows become visible all at once, so they are stamped together. Transactions are ordered by their last
-- sequence: if one changes a row after another has committed, its last sequence is the higher one. Sequences that are
-- missing are looked at again, for as long as whoever drew them may still commit; nobody is waited for.
CREATE FUNCTION gom.stamp_changes() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  stand gom.feed;
  from_ bigint[];
  to_ bigint[];
  until_ bigint[];
  highest bigint;
  new_position bigint;
  own bigint;
  unknown CONSTANT bigint := 9223372036854775807;
BEGIN
  SELECT * INTO STRICT stand FROM gom.feed;
  IF cardinality(stand.gap_from) = 0 AND NOT EXISTS (SELECT 1 FROM gom.change WHERE sequence > stand.seen) THEN
    RETURN stand.position;
  END IF;
  SELECT * INTO STRICT stand FROM gom.feed FOR UPDATE;
  -- Higher than the number of whoever drew a sequence that was missing the last time. (A snapshot's xmax is not: it is the
  -- first number after those that have ended, and whoever runs may have a higher one.)
  own := txid_current();

  -- One statement, one snapshot: what it sees, and which transactions it does not see.
  WITH looked AS MATERIALIZED (
    SELECT txid_snapshot_xmin(txid_current_snapshot()) AS xmin
  ), fresh AS MATERIALIZED (
    SELECT c.sequence, c.transaction FROM gom.change c WHERE c.sequence > stand.seen
    UNION ALL
    SELECT c.sequence, c.transaction
    FROM unnest(stand.gap_from, stand.gap_to) AS g(low, high)
    JOIN gom.change c ON c.sequence BETWEEN g.low AND g.high
  ), ended AS (
    SELECT transaction, min(sequence) AS first, max(sequence) AS last, count(*)::integer AS changes
    FROM fresh GROUP BY transaction
  ), stamped AS (
    INSERT INTO gom.stamp (position, transaction, first_sequence, last_sequence, changes)
    SELECT stand.position + row_number() OVER (ORDER BY last), transaction, first, last, changes FROM ended
    RETURNING position
  ), ranges (low, high, until) AS (
    -- The ranges in which something may be missing: the old gaps, and all that is new.
    SELECT low, high, least(until, own) FROM unnest(stand.gap_from, stand.gap_to, stand.gap_until) AS g(low, high, until)
    UNION ALL
    SELECT stand.seen + 1, (SELECT max(sequence) FROM fresh), unknown
    WHERE (SELECT max(sequence) FROM fresh) > stand.seen
  ), edges AS (
    -- What is present cuts a range into what is not.
    SELECT r.low, r.high, r.until, f.sequence FROM ranges r JOIN fresh f ON f.sequence BETWEEN r.low AND r.high
    UNION ALL
    SELECT low, high, until, low - 1 FROM ranges
    UNION ALL
    SELECT low, high, until, high + 1 FROM ranges
  ), missing AS (
    SELECT sequence + 1 AS low, lead(sequence) OVER (PARTITION BY low, high ORDER BY sequence) - 1 AS high, until
    FROM edges
  ), left_open AS (
    -- A gap whose time has come was looked at once more just now: if nothing was there, nothing will be.
    SELECT m.low, m.high, m.until FROM missing m, looked l WHERE m.low <= m.high AND m.until > l.xmin
  )
  SELECT (SELECT array_agg(low ORDER BY low) FROM left_open), (SELECT array_agg(high ORDER BY low) FROM left_open),
    (SELECT array_agg(until ORDER BY low) FROM left_open), (SELECT max(sequence) FROM fresh),
    (SELECT max(position) FROM stamped)
  INTO from_, to_, until_, highest, new_position;

  IF new_position IS NULL AND coalesce(from_, '{}') = stand.gap_from AND coalesce(until_, '{}') = stand.gap_until THEN
    RETURN stand.position;
  END IF;
  UPDATE gom.feed SET
    position = coalesce(new_position, stand.position),
    seen = greatest(stand.seen, highest),
    gap_from = coalesce(from_, '{}'), gap_to = coalesce(to_, '{}'), gap_until = coalesce(until_, '{}');
  RETURN coalesce(new_position, stand.position);
END
$$;

-- Forgets the oldest transactions that are older than max_age, or beyond the newest max_changes: about `step` changes at
-- most, but at least a whole transaction. How many changes it were.
CREATE FUNCTION gom.trim_changes(max_age interval, max_changes bigint, step integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  kept bigint;
  last bigint;
  removed integer;
BEGIN
  SELECT coalesce(max(sequence) - min(sequence) + 1, 0) INTO kept FROM gom.change;
  WITH oldest AS (
    SELECT position, first_sequence, stamped_at, sum(changes) OVER (ORDER BY position) AS running, changes
    FROM (SELECT * FROM gom.stamp ORDER BY position LIMIT step) s
  )
  SELECT max(position) INTO last FROM oldest
  WHERE (stamped_at < clock_timestamp() - max_age OR running <= kept - max_changes)
    AND (running - changes < step);
  IF last IS NULL THEN
    RETURN 0;
  END IF;
  -- First it is said, so that whoever reads meanwhile finds out.
  UPDATE gom.feed SET oldest = last WHERE oldest < last;
  WITH gone AS (
    DELETE FROM gom.stamp WHERE position <= last RETURNING transaction, first_sequence, last_sequence
  ), rows AS (
    DELETE FROM gom.change c USING gone g
    WHERE c.sequence BETWEEN g.first_sequence AND g.last_sequence AND c.transaction = g.transaction
    RETURNING 1
  )
  SELECT count(*) INTO removed FROM rows;
  RETURN removed;
END
$$;
