-- Up to where subscriptions of clients without cursors were delivered, so that they go on from there when they come back. See
-- docs/adr/0038-clients-without-cursors.md.

-- When a server last wrote that it lives; what it holds is taken for dead three seconds later.
CREATE TABLE gom.resume_node (
  node bigint PRIMARY KEY,
  seen_at timestamptz NOT NULL
) WITH (fillfactor = 20);

-- One row for each running subscription of such a client, and for each that was cut off.
CREATE TABLE gom.resume_position (
  id bigint PRIMARY KEY,
  -- Digests: of the session, the operation's name, its document and variables; and of the session alone.
  key bytea NOT NULL,
  session bytea NOT NULL,
  node bigint NOT NULL,
  -- A cursor: all up to it has been received.
  epoch bigint NOT NULL,
  position bigint NOT NULL,
  part bigint NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When its connection was lost; null while it lasts, as far as its server knows.
  left_at timestamptz,
  -- When another connection has gone on from it, while it still seemed to last.
  claimed_at timestamptz,
  -- Another connection has changed the row: its server makes sure that its client is there, and writes it again.
  disturbed boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE INDEX resume_position_key ON gom.resume_position (key);
CREATE INDEX resume_position_session ON gom.resume_position (session);
CREATE INDEX resume_position_disturbed ON gom.resume_position (node) WHERE disturbed;

-- A subscription begins: the cursor after which it goes on (nulls: from now on), and the one that its own row has.
-- It goes on from the least of the rows of its key that count, and takes the place of one of them: which of several equal
-- clients it is cannot be known. Those that stay are set back to the same cursor, so that each misses nothing.
-- `most`: rows that a session may have.
CREATE FUNCTION gom.resume_subscription(new_id bigint, of_key bytea, of_session bytea, of_node bigint, remember_ms bigint, most integer,
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
  SELECT f.epoch, f.position, 4294967295 INTO STRICT at_epoch, at_position, at_part FROM gom.feed f;
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
    IF one.epoch = at_epoch AND seen > moment - remember_ms * interval '1 millisecond'
      -- Its place was taken. It counts a little longer: the one that took it may have been another client than the one that
      -- was lost, and a server that lives finds out meanwhile whether its client is there.
      AND (one.claimed_at IS NULL OR one.claimed_at > moment - interval '3 seconds')
    THEN
      IF from_epoch IS NULL THEN
        SELECT one.epoch, one.position, one.part INTO from_epoch, from_position, from_part;
      END IF;
      IF one.claimed_at IS NULL THEN
        IF free_position IS NULL THEN
          SELECT one.position, one.part INTO free_position, free_part;
        END IF;
        IF is_dead THEN
          dead_id := coalesce(dead_id, one.id);
        ELSE
          live_id := coalesce(live_id, one.id);
        END IF;
      END IF;
    ELSIF is_dead THEN
      DELETE FROM gom.resume_position r WHERE r.id = one.id;
    END IF;
  END LOOP;
  IF from_epoch IS NOT NULL THEN
    SELECT from_epoch, from_position, from_part INTO at_epoch, at_position, at_part;
    UPDATE gom.resume_position r SET claimed_at = moment, disturbed = (r.left_at IS NULL) WHERE r.id = coalesce(dead_id, live_id);
    -- Not to a row that is claimed already: losses that follow each other would go back further and further.
    UPDATE gom.resume_position r SET position = free_position, part = free_part, disturbed = (r.left_at IS NULL)
    WHERE r.key = of_key AND r.epoch = at_epoch AND r.claimed_at IS NULL AND (r.position, r.part) > (free_position, free_part);
  END IF;
  INSERT INTO gom.resume_position (id, key, session, node, epoch, position, part)
  VALUES (new_id, of_key, of_session, of_node, at_epoch, at_position, at_part);
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

-- What a server has to write: `keep` (objects with id, key, session, epoch, position, part), and ids: `back` (their clients are
-- there, though another connection has changed the row), `lost` (their connections), `ended` (their clients want them no more).
-- Gives the rows of this server that other connections have changed.
CREATE FUNCTION gom.keep_resume_positions(of_node bigint, batch jsonb) RETURNS SETOF bigint
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
  INSERT INTO gom.resume_position AS r (id, key, session, node, epoch, position, part, claimed_at, disturbed)
  SELECT k.id, decode(k.key, 'hex'), decode(k.session, 'hex'), of_node, k.epoch, k.position, k.part, moment, true
  FROM jsonb_to_recordset(batch -> 'keep') AS k(id bigint, key text, session text, epoch bigint, position bigint, part bigint)
  -- One that was lost has a row, or another connection has long gone on in its place.
  WHERE NOT k.id = ANY (lost) OR EXISTS (SELECT FROM gom.resume_position p WHERE p.id = k.id)
  ORDER BY k.id
  -- One that was set back for another connection stays so until its client has answered.
  ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, position = excluded.position, part = excluded.part
  WHERE NOT r.disturbed OR r.id = ANY (back);
  UPDATE gom.resume_position r SET claimed_at = NULL, disturbed = false WHERE r.id = ANY (back) AND r.disturbed;
  -- Another connection goes on in their place, and has for long enough.
  DELETE FROM gom.resume_position r WHERE r.id = ANY (lost) AND r.claimed_at < moment - interval '3 seconds';
  UPDATE gom.resume_position r SET left_at = moment, disturbed = false WHERE r.id = ANY (lost) AND r.left_at IS NULL;
  RETURN QUERY SELECT r.id FROM gom.resume_position r WHERE r.node = of_node AND r.disturbed;
END
$$;

-- Forgets what nobody has come back to within the time; how many.
CREATE FUNCTION gom.forget_resume_positions(remember_ms bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  until CONSTANT timestamptz := clock_timestamp() - remember_ms * interval '1 millisecond';
  forgotten bigint;
BEGIN
  DELETE FROM gom.resume_position r WHERE r.id IN (
    SELECT o.id FROM gom.resume_position o LEFT JOIN gom.resume_node n ON n.node = o.node
    WHERE coalesce(o.left_at, n.seen_at, '-infinity')
      < CASE WHEN o.claimed_at IS NULL THEN until ELSE greatest(until, clock_timestamp() - interval '1 minute') END
    ORDER BY o.id LIMIT 10000 FOR UPDATE OF o SKIP LOCKED);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  DELETE FROM gom.resume_node n
  WHERE n.seen_at < until AND NOT EXISTS (SELECT FROM gom.resume_position r WHERE r.node = n.node);
  RETURN forgotten;
END
$$;
