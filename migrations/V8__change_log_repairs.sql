-- The change log keeps what it promises also when stampers queue, when commits are not durable, and when a transaction is
-- larger than a step of trimming. See docs/adr/0021-stamps-behind-one-lock.md.

-- For the rest of the transaction: commits are flushed here. A position that was delivered and is lost in a crash would be
-- given again. Stronger settings stay as they are, and a standby is not waited for where it was not before: when one takes
-- over, the epoch is another.
CREATE FUNCTION gom.flush_commit() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'local', true);
  END IF;
END
$$;

-- Stampers queue for this lock before they touch the feed's row. A row lock gives whoever waits for it a transaction number
-- while others are still before it, and then the number is older than the look of the one before. Waiting here assigns none.
CREATE FUNCTION gom.lock_stamping() RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('gom.stamp_changes', 0))
$$;

-- As in V4, with these two.
CREATE OR REPLACE FUNCTION gom.stamp_changes() RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
  PERFORM gom.lock_stamping();
  PERFORM gom.flush_commit();
  SELECT * INTO STRICT stand FROM gom.feed FOR UPDATE;
  -- Higher than the number of whoever drew a sequence that was missing the last time: it was drawn after the look before
  -- had ended. (A snapshot's xmax is not: it is the first number after those that have ended, and whoever runs may have a
  -- higher one.)
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

-- A new epoch, if the log still is of the one that is named and stands before a position that it has given there: it has
-- lost what it had stamped, and what it stamps next must not be taken for that.
CREATE FUNCTION gom.begin_epoch(lost bigint, given bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE gom.feed SET epoch = gom.new_epoch(), oldest = position WHERE epoch = lost AND position < given
$$;

-- Gives positions to committed changes that stamping has passed over, as it could before this version; how many. They come
-- late, behind changes that are newer. A change was passed over if it is not beyond what was looked at, in no gap, and has
-- no stamp: nobody looks at it any more. `exact`: compares change by change; else only if their numbers differ, for which an
-- index is enough.
CREATE FUNCTION gom.stamp_left_behind(exact boolean) RETURNS bigint LANGUAGE plpgsql
SET enable_nestloop = off AS $$
DECLARE
  surplus bigint;
  candidates bigint[];
  last_position bigint;
  counted bigint;
  late bigint;
  new_position bigint;
BEGIN
  IF NOT exact THEN
    SELECT (SELECT count(*) FROM gom.change c WHERE c.sequence <= f.seen)
      - (SELECT count(*) FROM unnest(f.gap_from, f.gap_to) AS g(low, high)
         JOIN gom.change c ON c.sequence BETWEEN g.low AND g.high)
      - coalesce((SELECT s.total FROM gom.stamp s ORDER BY s.position DESC LIMIT 1)
        - (SELECT s.total - s.changes FROM gom.stamp s WHERE s.position > f.trimmed ORDER BY s.position LIMIT 1), 0)
    INTO surplus FROM gom.feed f;
    IF surplus = 0 THEN
      RETURN 0;
    END IF;
  END IF;
  -- Without a lock, in one snapshot: what is found stays so unless somebody else runs this function.
  WITH stampless AS MATERIALIZED (
    SELECT c.sequence FROM gom.change c
    WHERE c.sequence <= (SELECT f.seen FROM gom.feed f) AND NOT EXISTS (
      SELECT 1 FROM gom.stamp s
      WHERE s.transaction = c.transaction AND c.sequence BETWEEN s.first_sequence AND s.last_sequence)
  )
  SELECT array_agg(l.sequence) INTO candidates FROM stampless l
  WHERE NOT EXISTS (
    SELECT 1 FROM gom.feed f, unnest(f.gap_from, f.gap_to) AS g(low, high) WHERE l.sequence BETWEEN g.low AND g.high);
  IF candidates IS NULL THEN
    RETURN 0;
  END IF;
  PERFORM gom.lock_stamping();
  PERFORM gom.flush_commit();
  SELECT position INTO STRICT last_position FROM gom.feed FOR UPDATE;
  counted := coalesce((SELECT total FROM gom.stamp ORDER BY position DESC LIMIT 1), 0);
  WITH stampless AS MATERIALIZED (
    SELECT c.sequence, c.transaction FROM gom.change c
    WHERE c.sequence = ANY (candidates) AND NOT EXISTS (
      SELECT 1 FROM gom.stamp s
      WHERE s.transaction = c.transaction AND c.sequence BETWEEN s.first_sequence AND s.last_sequence)
  ), parts AS (
    -- Where other changes of the transaction have a stamp, this one's range must not hold them.
    SELECT l.sequence, l.transaction, count(s.position) AS part
    FROM stampless l LEFT JOIN gom.stamp s ON s.transaction = l.transaction AND s.last_sequence < l.sequence
    GROUP BY l.sequence, l.transaction
  ), ended AS (
    SELECT transaction, min(sequence) AS first, max(sequence) AS last, count(*)::integer AS changes
    FROM parts GROUP BY transaction, part
  ), stamped AS (
    INSERT INTO gom.stamp (position, transaction, first_sequence, last_sequence, changes, total)
    SELECT last_position + row_number() OVER (ORDER BY e.last), e.transaction, e.first, e.last, e.changes,
      counted + sum(e.changes) OVER (ORDER BY e.last)
    FROM ended e
    RETURNING position, changes
  )
  SELECT max(s.position), sum(s.changes) INTO new_position, late FROM stamped s;
  IF new_position IS NULL THEN
    RETURN 0;
  END IF;
  UPDATE gom.feed SET position = new_position;
  RETURN late;
END
$$;

-- Forgets the oldest transactions that are older than max_age, or beyond the newest max_changes: `step` changes at most. How
-- many changes it were. Of a transaction with more the rest follows in the next steps; it is forgotten with the first.
CREATE OR REPLACE FUNCTION gom.trim_changes(max_age interval, max_changes bigint, step integer) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
  feed gom.feed;
  counted bigint;
  last bigint;
  room bigint;
  partial gom.stamp;
  cut bigint;
  removed integer;
BEGIN
  SELECT * INTO STRICT feed FROM gom.feed;
  SELECT total INTO counted FROM gom.stamp ORDER BY position DESC LIMIT 1;
  -- What was removed already is not walked over again, if some old transaction keeps it from being cleaned away.
  SELECT s.position, step - s.before INTO last, room FROM (
    SELECT *, total - changes - min(total - changes) OVER () AS before
    FROM (SELECT * FROM gom.stamp WHERE position > feed.trimmed ORDER BY position LIMIT step) s
  ) s
  WHERE (position <= feed.oldest OR stamped_at < clock_timestamp() - max_age OR total <= counted - max_changes)
    AND before < step
  ORDER BY s.position DESC LIMIT 1;
  IF last IS NULL THEN
    RETURN 0;
  END IF;
  -- First it is said, so that whoever reads meanwhile finds out. It is a lock too: who trims at the same time waits here.
  UPDATE gom.feed f SET oldest = greatest(f.oldest, last) RETURNING f.* INTO feed;
  SELECT * INTO partial FROM gom.stamp WHERE position = last AND changes > room;
  IF FOUND THEN
    SELECT c.sequence INTO cut FROM gom.change c
    WHERE c.sequence BETWEEN partial.first_sequence AND partial.last_sequence AND c.transaction = partial.transaction
    ORDER BY c.sequence OFFSET room - 1 LIMIT 1;
  END IF;
  IF cut IS NOT NULL THEN
    -- Nobody reads it any more: the next step need not walk over what this one removes.
    UPDATE gom.stamp SET first_sequence = cut + 1, changes = changes - room WHERE position = last;
    last := last - 1;
  END IF;
  WITH gone AS (
    DELETE FROM gom.stamp WHERE position > feed.trimmed AND position <= last
    RETURNING transaction, first_sequence, last_sequence
  )
  DELETE FROM gom.change WHERE sequence = ANY (ARRAY(
    -- OFFSET keeps it one look into the index for each transaction.
    SELECT c.sequence FROM (
      SELECT g.transaction, g.first_sequence, g.last_sequence FROM gone g
      UNION ALL
      SELECT partial.transaction, partial.first_sequence, cut WHERE cut IS NOT NULL
    ) g CROSS JOIN LATERAL (
      SELECT c.sequence FROM gom.change c
      WHERE c.sequence BETWEEN g.first_sequence AND g.last_sequence AND c.transaction = g.transaction OFFSET 0
    ) c
  ));
  GET DIAGNOSTICS removed = ROW_COUNT;
  UPDATE gom.feed SET trimmed = greatest(trimmed, last);
  RETURN removed;
END
$$;
