-- Each stamp has a nonce, which cursors carry: a cursor goes on wherever its stamp is, whichever server was promoted or
-- restored. See docs/adr/0042-cursors-name-their-stamp.md.

-- 59 random bits. Negative: it is neither an epoch nor 0.
CREATE FUNCTION gom.new_nonce() RETURNS bigint LANGUAGE sql AS $$
  SELECT ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint | ~(9223372036854775807::bigint)
$$;

-- What is stamped already has one nonce in common, a constant: no table is rewritten.
DO $$
BEGIN
  EXECUTE format('ALTER TABLE gom.stamp ADD COLUMN nonce bigint NOT NULL DEFAULT %L::bigint', gom.new_nonce());
  -- Of the stamp at `oldest`, which is not kept.
  EXECUTE format('ALTER TABLE gom.feed ADD COLUMN oldest_nonce bigint NOT NULL DEFAULT %L::bigint', gom.new_nonce());
END
$$;
-- For each row another one, whatever function inserts it, of whatever version.
ALTER TABLE gom.stamp ALTER COLUMN nonce SET DEFAULT gom.new_nonce();
ALTER TABLE gom.feed ALTER COLUMN oldest_nonce SET DEFAULT gom.new_nonce();

-- The database whose transaction numbers gap_until has. (`identity` is left to servers of earlier versions, which begin a new
-- epoch where it has changed, and to cursors without a nonce.)
ALTER TABLE gom.feed ADD COLUMN gap_database text;
UPDATE gom.feed SET gap_database = identity;
ALTER TABLE gom.feed ALTER COLUMN gap_database SET NOT NULL;

-- Keeps the nonce of `oldest`. In a new epoch it is one that no cursor has.
CREATE FUNCTION gom.keep_oldest_nonce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch <> OLD.epoch THEN
    NEW.oldest_nonce := gom.new_nonce();
  ELSIF NEW.oldest <> OLD.oldest THEN
    NEW.oldest_nonce := coalesce((SELECT s.nonce FROM gom.stamp s WHERE s.position = NEW.oldest), gom.new_nonce());
  END IF;
  RETURN NEW;
END
$$;
-- Stamping sets neither.
CREATE TRIGGER keep_oldest_nonce BEFORE UPDATE OF epoch, oldest ON gom.feed
FOR EACH ROW EXECUTE FUNCTION gom.keep_oldest_nonce();

-- The nonce of a position; null, if the log does not keep it or has not given it. (plpgsql keeps the plans.)
CREATE FUNCTION gom.nonce_of(of_position bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT CASE WHEN of_position = f.oldest THEN f.oldest_nonce
      WHEN of_position > f.oldest THEN (SELECT s.nonce FROM gom.stamp s WHERE s.position = of_position) END
    FROM gom.feed f);
END
$$;

-- The nonce of a cursor's position, if the cursor is of this log; else null. Of a cursor without one (0) this is not known:
-- servers of earlier versions take one for as long as the database is the same, and so is this. (The caller compares epochs.)
CREATE FUNCTION gom.prove_stamp(of_position bigint, given bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  found_nonce CONSTANT bigint := gom.nonce_of(of_position);
BEGIN
  IF found_nonce = given OR given = 0 AND EXISTS (SELECT 1 FROM gom.feed f WHERE f.identity = gom.database_identity()) THEN
    RETURN found_nonce;
  END IF;
  RETURN NULL;
END
$$;

-- Numbers of transactions mean nothing in another database, so it must be found out again when the gaps can be let go.
CREATE FUNCTION gom.open_log() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  mine CONSTANT text := gom.database_identity();
BEGIN
  IF EXISTS (SELECT 1 FROM gom.feed f WHERE f.gap_database <> mine) THEN
    UPDATE gom.feed f SET gap_database = mine,
      gap_until = array_fill(9223372036854775807, ARRAY[cardinality(f.gap_until)])
    WHERE f.gap_database <> mine;
  END IF;
END
$$;

-- Stamps, and says where the log stands then. It is the first thing that its transaction does, or gaps are not let go.
CREATE FUNCTION gom.stamp_log(OUT epoch bigint, OUT "position" bigint, OUT nonce bigint, OUT oldest bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM gom.stamp_changes();
  SELECT f.epoch, f.position, gom.nonce_of(f.position), f.oldest INTO STRICT epoch, "position", nonce, oldest FROM gom.feed f;
END
$$;

-- Clients without cursors: what is kept of them is a cursor too. 0: a server of an earlier version has written it.
ALTER TABLE gom.resume_position ADD COLUMN nonce bigint NOT NULL DEFAULT 0;

-- As in V14, with nonces: a row counts if this log has its stamp.
CREATE OR REPLACE FUNCTION gom.resume_subscription(new_id bigint, of_key bytea, of_session bytea, of_node bigint, remember_ms bigint, most integer,
  OUT from_epoch bigint, OUT from_position bigint, OUT from_part bigint, OUT at_epoch bigint, OUT at_position bigint, OUT at_part bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moment timestamptz;
  seen timestamptz;
  is_dead boolean;
  one record;
  dead_id bigint;
  live_id bigint;
  -- The least of the rows whose place was not taken.
  free_position bigint;
  free_part bigint;
  free_nonce bigint;
  at_nonce bigint;
  from_nonce bigint;
  -- A row of a connection that was lost, which would count, but for this log not having its stamp.
  lost_id bigint;
  lost_epoch bigint;
  lost_position bigint;
  lost_part bigint;
  lost_nonce bigint;
  oldest bigint;
  is_same_database boolean;
BEGIN
  -- A crash of PostgreSQL may take back the last moment: then that moment's events come twice.
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock(hashtextextended('gom.resume_position ' || encode(of_key, 'hex'), 0));
  moment := clock_timestamp();
  INSERT INTO gom.resume_node AS n (node, seen_at) VALUES (of_node, moment)
  ON CONFLICT (node) DO UPDATE SET seen_at = greatest(n.seen_at, excluded.seen_at);
  SELECT r.epoch, r.position, r.part INTO at_epoch, at_position, at_part FROM gom.resume_position r WHERE r.id = new_id;
  IF FOUND THEN
    -- The same, asked again after a connection was lost.
    SELECT at_epoch, at_position, at_part INTO from_epoch, from_position, from_part;
    RETURN;
  END IF;
  SELECT f.epoch, f.position, 4294967295, gom.nonce_of(f.position), f.oldest, f.identity = gom.database_identity()
  INTO STRICT at_epoch, at_position, at_part, at_nonce, oldest, is_same_database FROM gom.feed f;
  -- In the order of every other statement that locks several.
  PERFORM FROM gom.resume_position r WHERE r.key = of_key ORDER BY r.id FOR UPDATE;
  -- Of those that are equally far, the one is most probably gone whose server has been silent for longest, then the oldest: not
  -- one that has just come back from the same loss.
  FOR one IN
    SELECT r.*, n.seen_at FROM gom.resume_position r LEFT JOIN gom.resume_node n ON n.node = r.node
    WHERE r.key = of_key ORDER BY r.position, r.part, coalesce(r.left_at, n.seen_at), r.began_at, r.id
  LOOP
    seen := coalesce(one.left_at, one.seen_at, '-infinity');
    is_dead := one.left_at IS NOT NULL OR seen < moment - interval '3 seconds';
    IF seen <= moment - remember_ms * interval '1 millisecond'
      -- Its place was taken. It counts a little longer: the one that took it may have been another client than the one that
      -- was lost, and a server that lives finds out meanwhile whether its client is there.
      OR one.claimed_at <= moment - interval '3 seconds'
    THEN
      IF is_dead THEN
        DELETE FROM gom.resume_position r WHERE r.id = one.id;
      END IF;
    -- What lies before the log is found out by the server, which reports it.
    ELSIF one.epoch = at_epoch
      AND (CASE WHEN one.nonce = 0 THEN is_same_database ELSE one.position < oldest OR one.nonce = gom.nonce_of(one.position) END)
    THEN
      IF from_epoch IS NULL THEN
        SELECT one.epoch, one.position, one.part, one.nonce INTO from_epoch, from_position, from_part, from_nonce;
      END IF;
      IF one.claimed_at IS NULL THEN
        IF free_position IS NULL THEN
          SELECT one.position, one.part, one.nonce INTO free_position, free_part, free_nonce;
        END IF;
        IF is_dead THEN
          dead_id := coalesce(dead_id, one.id);
        ELSE
          live_id := coalesce(live_id, one.id);
        END IF;
      END IF;
    ELSIF is_dead AND lost_id IS NULL THEN
      SELECT one.id, one.epoch, one.position, one.part, one.nonce
      INTO lost_id, lost_epoch, lost_position, lost_part, lost_nonce;
    END IF;
  END LOOP;
  IF lost_id IS NOT NULL AND dead_id IS NULL THEN
    -- Of a log that is over, or has lost it: its server finds that out, and reports it. Each of several such rows is for one that
    -- comes.
    SELECT lost_epoch, lost_position, lost_part INTO from_epoch, from_position, from_part;
    SELECT lost_epoch, lost_position, lost_part, lost_nonce INTO at_epoch, at_position, at_part, at_nonce;
    DELETE FROM gom.resume_position r WHERE r.id = lost_id;
  ELSIF from_epoch IS NOT NULL THEN
    SELECT from_epoch, from_position, from_part, from_nonce INTO at_epoch, at_position, at_part, at_nonce;
    UPDATE gom.resume_position r SET claimed_at = moment, disturbed = (r.left_at IS NULL) WHERE r.id = coalesce(dead_id, live_id);
    -- Not to a row that is claimed already: losses that follow each other would go back further and further.
    UPDATE gom.resume_position r SET position = free_position, part = free_part, nonce = free_nonce, disturbed = (r.left_at IS NULL)
    WHERE r.key = of_key AND r.epoch = at_epoch AND r.claimed_at IS NULL AND (r.position, r.part) > (free_position, free_part);
  END IF;
  INSERT INTO gom.resume_position (id, key, session, node, epoch, position, part, nonce)
  VALUES (new_id, of_key, of_session, of_node, at_epoch, at_position, at_part, coalesce(at_nonce, 0));
  -- Claimed ones make room, then those that were lost, or whose server has been silent, for the longest time: for the session's,
  -- and for equal ones. What another statement has locked stays.
  WITH kept AS (
    SELECT o.id, o.key, row_number() OVER (PARTITION BY o.key = of_key ORDER BY (o.id = new_id) DESC, (o.claimed_at IS NULL) DESC,
      (o.left_at IS NULL AND n.seen_at > moment - interval '3 seconds') DESC, coalesce(o.left_at, n.seen_at) DESC NULLS LAST, o.id) AS place
    FROM gom.resume_position o LEFT JOIN gom.resume_node n ON n.node = o.node WHERE o.session = of_session
  ), evicted AS (
    SELECT r.id FROM gom.resume_position r WHERE r.id IN (
      SELECT k.id FROM kept k WHERE k.place > CASE WHEN k.key = of_key THEN 20 ELSE most END) FOR UPDATE SKIP LOCKED
  )
  DELETE FROM gom.resume_position r USING evicted e WHERE r.id = e.id;
END
$$;

-- The same, and the nonce of where the row is: of where it goes on, if it does.
CREATE FUNCTION gom.resume_subscription_at(new_id bigint, of_key bytea, of_session bytea, of_node bigint, remember_ms bigint,
  most integer, OUT from_epoch bigint, OUT from_position bigint, OUT from_part bigint, OUT at_epoch bigint,
  OUT at_position bigint, OUT at_part bigint, OUT at_nonce bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT s.* INTO STRICT from_epoch, from_position, from_part, at_epoch, at_position, at_part
  FROM gom.resume_subscription(new_id, of_key, of_session, of_node, remember_ms, most) s;
  at_nonce := coalesce((SELECT r.nonce FROM gom.resume_position r WHERE r.id = new_id), 0);
END
$$;

-- As in V14, with nonces, which servers of earlier versions do not give.
CREATE OR REPLACE FUNCTION gom.keep_resume_positions(of_node bigint, batch jsonb) RETURNS SETOF bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moment CONSTANT timestamptz := clock_timestamp();
  kept CONSTANT bigint[] := ARRAY(SELECT (k.value ->> 'id')::bigint FROM jsonb_array_elements(batch -> 'keep') k);
  back CONSTANT bigint[] := ARRAY(SELECT v::bigint FROM jsonb_array_elements_text(batch -> 'back') v);
  lost CONSTANT bigint[] := ARRAY(SELECT v::bigint FROM jsonb_array_elements_text(batch -> 'lost') v);
  ended CONSTANT bigint[] := ARRAY(SELECT v::bigint FROM jsonb_array_elements_text(batch -> 'ended') v);
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  INSERT INTO gom.resume_node AS n (node, seen_at) VALUES (of_node, moment)
  ON CONFLICT (node) DO UPDATE SET seen_at = greatest(n.seen_at, excluded.seen_at);
  PERFORM FROM gom.resume_position r WHERE r.id = ANY (kept || back || lost || ended) ORDER BY r.id FOR UPDATE;
  DELETE FROM gom.resume_position r WHERE r.id = ANY (ended);
  -- One that is not there any more is written as claimed, and its client is asked: another may have taken its place.
  INSERT INTO gom.resume_position AS r (id, key, session, node, epoch, position, part, nonce, claimed_at, disturbed)
  SELECT k.id, decode(k.key, 'hex'), decode(k.session, 'hex'), of_node, k.epoch, k.position, k.part,
    CASE WHEN k.next IS NULL THEN coalesce(k.nonce, 0)
      -- The server knows the nonce of the position that follows only.
      WHEN gom.nonce_of(k.position + 1) = k.next THEN coalesce(gom.nonce_of(k.position), gom.new_nonce())
      ELSE gom.new_nonce() END,
    moment, true
  FROM jsonb_to_recordset(batch -> 'keep') AS k(id bigint, key text, session text, epoch bigint, position bigint, part bigint,
    nonce bigint, next bigint)
  -- One that was lost has a row, or another connection has long gone on in its place.
  WHERE NOT k.id = ANY (lost) OR EXISTS (SELECT FROM gom.resume_position p WHERE p.id = k.id)
  ORDER BY k.id
  -- One that was set back for another connection stays so until its client has answered.
  ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, part = excluded.part,
    nonce = excluded.nonce
  WHERE NOT r.disturbed OR r.id = ANY (back);
  UPDATE gom.resume_position r SET claimed_at = NULL, disturbed = false WHERE r.id = ANY (back) AND r.disturbed;
  -- Another connection goes on in their place, and has for long enough.
  DELETE FROM gom.resume_position r WHERE r.id = ANY (lost) AND r.claimed_at < moment - interval '3 seconds';
  UPDATE gom.resume_position r SET left_at = moment, disturbed = false WHERE r.id = ANY (lost) AND r.left_at IS NULL;
  RETURN QUERY SELECT r.id FROM gom.resume_position r WHERE r.node = of_node AND r.disturbed;
END
$$;
