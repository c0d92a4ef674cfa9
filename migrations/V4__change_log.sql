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
  -- Changes up to and with these, counted from some beginning: differences say how many there are between two rows.
  total bigint NOT NULL,
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
  -- The last one whose rows were removed. It is lower than `oldest` where a backup was restored.
  trimmed bigint NOT NULL DEFAULT 0,
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

-- As its owner, so that it is the same for everybody who asks.
CREATE FUNCTION gom.database_identity() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster text := '';
  timeline text := '';
BEGIN
  BEGIN
    SELECT s.system_identifier::text INTO cluster FROM pg_control_system() s;
  EXCEPTION WHEN insufficient_privilege THEN
    NULL;
  END;
  BEGIN
    -- Changes when a standby takes over and when a backup is rolled forward to some point.
    timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  EXCEPTION WHEN feature_not_supported OR insufficient_privilege OR object_not_in_prerequisite_state THEN
    -- Some hosted databases have no such log.
    NULL;
  END;
  -- The table's own number changes when a dump is read back into the same database.
  RETURN concat_ws('/', cluster, timeline, (SELECT oid FROM pg_database WHERE datname = current_database()),
    'gom.feed'::regclass::oid);
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
    -- Numbers of transactions may mean nothing here, so it must be found out again when the gaps can be let go.
    UPDATE gom.feed f SET epoch = gom.new_epoch(), identity = mine, oldest = f.position,
      gap_until = array_fill(9223372036854775807, ARRAY[cardinality(f.gap_until)])
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
--
-- It is the first thing that its transaction does, or gaps are not let go. What is new is found by the index, also by a plan
-- that was made when the log was short.
CREATE FUNCTION gom.stamp_changes() RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  stand gom.feed;
  from_ bigint[];
  to_ bigint[];
  until_ bigint[];
  highest bigint;
  new_position bigint;
  unknown CONSTANT bigint := 9223372036854775807;
  own bigint := unknown;
  counted bigint;
  is_first CONSTANT boolean := txid_current_if_assigned() IS NULL;
BEGIN
  SELECT * INTO STRICT stand FROM gom.feed;
  IF cardinality(stand.gap_from) = 0 AND NOT EXISTS (SELECT 1 FROM gom.change WHERE sequence > stand.seen) THEN
    RETURN stand.position;
  END IF;
  SELECT * INTO STRICT stand FROM gom.feed FOR UPDATE;
  -- Higher than the number of whoever drew a sequence that was missing the last time. (A snapshot's xmax is not: it is the
  -- first number after those that have ended, and whoever runs may have a higher one.)
  IF is_first THEN
    own := txid_current();
  END IF;
  counted := coalesce((SELECT total FROM gom.stamp ORDER BY position DESC LIMIT 1), 0);

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
    INSERT INTO gom.stamp (position, transaction, first_sequence, last_sequence, changes, total)
    SELECT stand.position + row_number() OVER (ORDER BY last), transaction, first, last, changes,
      counted + sum(changes) OVER (ORDER BY last)
    FROM ended
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
CREATE FUNCTION gom.trim_changes(max_age interval, max_changes bigint, step integer) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
  feed gom.feed;
  counted bigint;
  last bigint;
  removed integer;
BEGIN
  SELECT * INTO STRICT feed FROM gom.feed;
  SELECT total INTO counted FROM gom.stamp ORDER BY position DESC LIMIT 1;
  -- What was removed already is not walked over again, if some old transaction keeps it from being cleaned away.
  SELECT max(position) INTO last FROM (
    SELECT *, total - changes - min(total - changes) OVER () AS before
    FROM (SELECT * FROM gom.stamp WHERE position > feed.trimmed ORDER BY position LIMIT step) s
  ) s
  WHERE (position <= feed.oldest OR stamped_at < clock_timestamp() - max_age OR total <= counted - max_changes)
    AND before < step;
  IF last IS NULL THEN
    RETURN 0;
  END IF;
  -- First it is said, so that whoever reads meanwhile finds out.
  UPDATE gom.feed SET oldest = greatest(oldest, last), trimmed = greatest(trimmed, last);
  WITH gone AS (
    DELETE FROM gom.stamp WHERE position > feed.trimmed AND position <= last
    RETURNING transaction, first_sequence, last_sequence
  )
  DELETE FROM gom.change WHERE sequence = ANY (ARRAY(
    -- OFFSET keeps it one look into the index for each transaction.
    SELECT c.sequence FROM gone g CROSS JOIN LATERAL (
      SELECT c.sequence FROM gom.change c
      WHERE c.sequence BETWEEN g.first_sequence AND g.last_sequence AND c.transaction = g.transaction OFFSET 0
    ) c
  ));
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END
$$;
