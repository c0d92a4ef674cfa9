-- The change log in partitions by sequence: old ones are emptied and dropped as a whole, and retention is bounded in bytes too.
-- See docs/adr/0048-the-log-in-partitions.md.
--
-- A partition is named after its lowest sequence. The last one is unbounded, so that no writer ever lacks a partition.

-- It waits for transactions that have read the log and are still open. It has no other lock that they could wait for: stampers read
-- gom.change, then lock gom.feed and gom.stamp; trimmers lock these two, then gom.change.
LOCK TABLE gom.change IN ACCESS EXCLUSIVE MODE;

-- Gives one table the rights that other roles have on another one and on its columns. (Its owner's are as the owner made them.)
CREATE FUNCTION gom.copy_rights(from_table regclass, to_table regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT a.privilege_type || coalesce(' (' || quote_ident(of_what.attname) || ')', '') AS privilege,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee, a.is_grantable
    FROM (
      SELECT relacl AS acl, NULL::name AS attname FROM pg_class WHERE oid = from_table
      UNION ALL
      SELECT attacl, attname FROM pg_attribute WHERE attrelid = from_table AND NOT attisdropped
    ) of_what, aclexplode(of_what.acl) a
    WHERE a.grantee <> (SELECT relowner FROM pg_class WHERE oid = from_table)
  LOOP
    EXECUTE format('GRANT %s ON %s TO %s%s', one.privilege, to_table, one.grantee,
      CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END
$$;

-- The log as it is becomes the first partition. No row is read or moved: its bounds exclude nothing.
DO $$
DECLARE
  next_sequence bigint;
  owner CONSTANT name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'gom.change'::regclass);
  triggers CONSTANT jsonb := (SELECT jsonb_agg(jsonb_build_object('name', tgname, 'definition', pg_get_triggerdef(oid),
      'enabled', tgenabled, 'note', obj_description(oid, 'pg_trigger')))
    FROM pg_trigger WHERE tgrelid = 'gom.change'::regclass AND NOT tgisinternal);
  one record;
BEGIN
  EXECUTE format('SELECT last_value + is_called::integer FROM %s', pg_get_serial_sequence('gom.change', 'sequence'))
  INTO STRICT next_sequence;
  FOR one IN SELECT t ->> 'name' AS name FROM jsonb_array_elements(triggers) t LOOP
    EXECUTE format('DROP TRIGGER %I ON gom.change', one.name);
  END LOOP;
  ALTER TABLE gom.change ALTER COLUMN sequence DROP IDENTITY;
  ALTER TABLE gom.change RENAME CONSTRAINT change_pkey TO change_0_pkey;
  ALTER TABLE gom.change RENAME TO change_0;
  CREATE TABLE gom.change (LIKE gom.change_0 INCLUDING DEFAULTS) PARTITION BY RANGE (sequence);
  EXECUTE format('ALTER TABLE gom.change OWNER TO %I', owner);
  ALTER TABLE gom.change ADD PRIMARY KEY (sequence);
  -- As an identity: a role that may insert needs no right on a sequence.
  EXECUTE format('ALTER TABLE gom.change ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (START WITH %s)', next_sequence);
  PERFORM gom.copy_rights('gom.change_0', 'gom.change');
  ALTER TABLE gom.change ATTACH PARTITION gom.change_0 FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
  -- From the parent they go to every partition, present and to come.
  FOR one IN SELECT * FROM jsonb_to_recordset(triggers) AS t(name text, definition text, enabled text, note text) LOOP
    EXECUTE one.definition;
    EXECUTE format('COMMENT ON TRIGGER %I ON gom.change IS %L', one.name, one.note);
    IF one.enabled <> 'O' THEN
      EXECUTE format('ALTER TABLE gom.change %s TRIGGER %I',
        CASE one.enabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, one.name);
    END IF;
  END LOOP;
END
$$;

-- The partitions of the log, by their lowest sequence. `is_open`: the last one, into which is written.
CREATE FUNCTION gom.log_partitions(OUT part regclass, OUT low bigint, OUT is_open boolean, OUT bytes bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.part, p.low, p.low = max(p.low) OVER (), pg_total_relation_size(p.part)
  FROM (
    SELECT c.oid::regclass AS part, substring(c.relname FROM '^change_(\d+)$')::bigint AS low
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'gom.change'::regclass
  ) p
  WHERE p.low IS NOT NULL ORDER BY p.low
$$;

-- A transaction that names partitions has this lock, or one might be dropped meanwhile. Nobody waits for it.
CREATE FUNCTION gom.lock_partitions() RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock(hashtextextended('gom.log_partitions', 0))
$$;

-- Takes the next step to a new partition, once the open one holds `width` changes, an eighth of `max_bytes` (0: no bound), or a
-- change stamped longer than `age` ago. The step that was taken; null if there is none. Each is a transaction of its own, and any
-- node may take it:
--   closing: the open partition gets an upper bound, far beyond what it can reach meanwhile (2^36 changes),
--   checked: the bound is verified, while writers go on,
--   rotated: the sequence goes on from the bound, in a new partition, and empty partitions are dropped,
--   busy: nothing was done, because another transaction has a lock,
--   elsewhere: nothing was done, because another node is at it.
-- The first and the last need a lock that excludes writers, for a few milliseconds: they give up rather than have them wait.
CREATE FUNCTION gom.rotate_log(width bigint, age interval, max_bytes bigint) RETURNS text LANGUAGE plpgsql
SET lock_timeout = '100ms' SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  now_open record;
  closed record;
  closing record;
  lowest bigint;
  highest bigint;
  bound bigint;
  has_rows boolean;
  one regclass;
  empty regclass[] := '{}';
  owner CONSTANT name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'gom.change'::regclass);
BEGIN
  IF NOT gom.lock_partitions() THEN
    RETURN 'elsewhere';
  END IF;
  SELECT * INTO STRICT now_open FROM gom.log_partitions() p WHERE p.is_open;
  SELECT c.conname, c.convalidated, substring(c.conname FROM '\d+$')::bigint AS bound INTO closing
  FROM pg_constraint c WHERE c.conrelid = now_open.part AND c.contype = 'c' AND c.conname ~ '^closing_\d+$';
  IF NOT FOUND THEN
    EXECUTE format('SELECT min(sequence), max(sequence) FROM %s', now_open.part) INTO lowest, highest;
    IF lowest IS NULL OR NOT (
      highest - lowest >= width OR max_bytes > 0 AND now_open.bytes >= max_bytes / 8
      -- None, if none of them has a position.
      OR coalesce((SELECT s.stamped_at FROM gom.stamp s WHERE s.first_sequence + 0 >= lowest ORDER BY s.first_sequence + 0 LIMIT 1)
        < clock_timestamp() - age, false))
    THEN
      RETURN NULL;
    END IF;
    EXECUTE format('SELECT last_value + (1::bigint << 36) FROM %s', pg_get_serial_sequence('gom.change', 'sequence'))
    INTO STRICT bound;
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (sequence >= %s AND sequence < %s) NOT VALID', now_open.part,
      'closing_' || bound, now_open.low, bound);
    RETURN 'closing';
  ELSIF NOT closing.convalidated THEN
    EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', now_open.part, closing.conname);
    RETURN 'checked';
  END IF;
  -- Before writers are excluded: it may walk over what vacuum has not cleaned away. Nobody writes to closed partitions.
  FOR closed IN SELECT * FROM gom.log_partitions() p WHERE NOT p.is_open LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', closed.part) INTO has_rows;
    IF NOT has_rows THEN
      empty := empty || closed.part;
    END IF;
  END LOOP;
  -- Nobody has written and not ended: every sequence that was drawn is committed or rolled back. (Other partitions may be
  -- vacuumed meanwhile.)
  LOCK TABLE ONLY gom.change IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('ALTER TABLE gom.change DETACH PARTITION %s', now_open.part);
  -- The verified constraint implies the bounds, so no row is read.
  EXECUTE format('ALTER TABLE gom.change ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)', now_open.part,
    CASE now_open.low WHEN 0 THEN 'MINVALUE' ELSE now_open.low::text END, closing.bound);
  EXECUTE format('CREATE TABLE gom.%I PARTITION OF gom.change FOR VALUES FROM (%s) TO (MAXVALUE)', 'change_' || closing.bound,
    closing.bound);
  -- Partitions inherit neither, and a role that copies the tables one by one reads this one too.
  EXECUTE format('ALTER TABLE gom.%I OWNER TO %I', 'change_' || closing.bound, owner);
  PERFORM gom.copy_rights('gom.change', format('gom.%I', 'change_' || closing.bound)::regclass);
  -- Unlike setval(), this is undone if the transaction fails: numbers beyond the bound would have no partition then.
  EXECUTE format('ALTER TABLE gom.change ALTER COLUMN sequence RESTART WITH %s', closing.bound);
  FOREACH one IN ARRAY empty LOOP
    BEGIN
      EXECUTE format('DROP TABLE %s', one);
    EXCEPTION WHEN lock_not_available THEN
      -- With the next rotation, and so are the others: writers have waited long enough.
      EXIT;
    END;
  END LOOP;
  RETURN 'rotated';
EXCEPTION WHEN lock_not_available THEN
  RETURN 'busy';
END
$$;

-- The highest sequence of a closed partition, if all its changes have a position; else null.
CREATE FUNCTION gom.stamped_up_to(part regclass) RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  highest bigint;
  is_awaited boolean;
BEGIN
  EXECUTE format('SELECT max(sequence) FROM %s', part) INTO highest;
  -- Gaps without rows are of transactions that were rolled back: none is open that could write here.
  EXECUTE format('SELECT EXISTS (SELECT FROM gom.feed f, unnest(f.gap_from, f.gap_to) AS g(low, high)
    JOIN %s c ON c.sequence BETWEEN g.low AND g.high)', part) INTO is_awaited;
  IF is_awaited OR highest > (SELECT f.seen FROM gom.feed f) THEN
    RETURN NULL;
  END IF;
  RETURN highest;
END
$$;

-- Forgets the closed partitions all of whose changes are older than max_age, or beyond the newest max_changes, or in the way of
-- a log of max_bytes (0: no bound); how many changes it were. They are removed by gom.empty_partition(), in a transaction that
-- follows: transactions that still read them began before, and are waited for there.
CREATE FUNCTION gom.forget_partitions(max_age interval, max_changes bigint, max_bytes bigint) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  feed gom.feed;
  one record;
  its_last gom.stamp;
  highest bigint;
  counted CONSTANT bigint := (SELECT s.total FROM gom.stamp s ORDER BY s.position DESC LIMIT 1);
  size bigint := (SELECT sum(p.bytes) + pg_total_relation_size('gom.stamp') FROM gom.log_partitions() p);
  kept_from bigint;
  last bigint := 0;
  forgotten bigint := 0;
BEGIN
  IF NOT gom.lock_partitions() THEN
    RETURN 0;
  END IF;
  SELECT * INTO STRICT feed FROM gom.feed;
  kept_from := (SELECT s.total - s.changes FROM gom.stamp s WHERE s.position > feed.oldest ORDER BY s.position LIMIT 1);
  FOR one IN SELECT * FROM gom.log_partitions() p WHERE NOT p.is_open LOOP
    EXECUTE format('SELECT max(sequence) FROM %s', one.part) INTO highest;
    IF highest IS NOT NULL THEN
      -- One of its last stamps: mostly it is kept, and then those before it need not be read.
      SELECT s.* INTO its_last FROM gom.stamp s WHERE s.first_sequence + 0 <= highest ORDER BY s.first_sequence + 0 DESC LIMIT 1;
      EXIT WHEN its_last.position > feed.oldest AND NOT (its_last.stamped_at < clock_timestamp() - max_age
        OR its_last.total <= counted - max_changes OR max_bytes > 0 AND size > max_bytes);
      EXIT WHEN gom.stamped_up_to(one.part) IS NULL;
      -- A transaction that began in it may have ended in a later one, or late: everything up to there goes.
      -- OFFSET keeps it a look into the index of first sequences, which has no more below than these partitions' stamps.
      SELECT s.* INTO its_last FROM gom.stamp s WHERE s.position = (
        SELECT max(l.position) FROM (SELECT position FROM gom.stamp WHERE first_sequence + 0 <= highest OFFSET 0) l
        WHERE l.position > feed.oldest);
      IF FOUND THEN
        EXIT WHEN NOT (its_last.stamped_at < clock_timestamp() - max_age OR its_last.total <= counted - max_changes
          OR max_bytes > 0 AND size > max_bytes);
        last := greatest(last, its_last.position);
        forgotten := greatest(forgotten, its_last.total - kept_from);
      END IF;
    END IF;
    size := size - one.bytes;
  END LOOP;
  IF last > feed.oldest THEN
    UPDATE gom.feed f SET oldest = last WHERE f.oldest < last;
    IF FOUND THEN
      RETURN forgotten;
    END IF;
  END IF;
  RETURN 0;
END
$$;

-- Empties the oldest closed partition that has changes, if all of them are forgotten; whether it has done so. Null: not yet,
-- because somebody reads it, or another node is at it. Writers are not concerned: they lock the partition that they write, and no
-- other.
CREATE FUNCTION gom.empty_partition() RETURNS boolean LANGUAGE plpgsql
SET lock_timeout = '200ms' SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  one record;
  highest bigint;
BEGIN
  IF NOT gom.lock_partitions() THEN
    RETURN NULL;
  END IF;
  FOR one IN SELECT * FROM gom.log_partitions() p WHERE NOT p.is_open LOOP
    EXECUTE format('SELECT max(sequence) FROM %s', one.part) INTO highest;
    CONTINUE WHEN highest IS NULL;
    IF gom.stamped_up_to(one.part) IS NULL OR EXISTS (
      SELECT FROM (SELECT position FROM gom.stamp WHERE first_sequence + 0 <= highest OFFSET 0) s, gom.feed f
      WHERE s.position > f.oldest)
    THEN
      RETURN false;
    END IF;
    EXECUTE format('TRUNCATE %s', one.part);
    RETURN true;
  END LOOP;
  RETURN false;
EXCEPTION WHEN lock_not_available THEN
  RETURN NULL;
END
$$;

-- Removes forgotten stamps whose changes are gone, `step` at most; how many. gom.trim_changes() removes the others, change by
-- change.
CREATE FUNCTION gom.trim_stamps(step integer) RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  feed gom.feed;
  lowest bigint;
  last bigint;
  removed integer;
BEGIN
  SELECT * INTO STRICT feed FROM gom.feed;
  IF feed.trimmed >= feed.oldest THEN
    RETURN 0;
  END IF;
  SELECT * INTO STRICT feed FROM gom.feed FOR UPDATE;
  lowest := coalesce((SELECT min(c.sequence) FROM gom.change c), 9223372036854775807);
  SELECT max(s.position) INTO last FROM (
    SELECT n.position, bool_and(n.last_sequence < lowest) OVER (ORDER BY n.position) AS is_gone
    FROM (SELECT * FROM gom.stamp m WHERE m.position > feed.trimmed AND m.position <= feed.oldest ORDER BY m.position LIMIT step) n
  ) s WHERE s.is_gone;
  IF last IS NULL THEN
    RETURN 0;
  END IF;
  DELETE FROM gom.stamp s WHERE s.position > feed.trimmed AND s.position <= last;
  GET DIAGNOSTICS removed = ROW_COUNT;
  UPDATE gom.feed SET trimmed = last;
  RETURN removed;
END
$$;

-- How many partitions there are, the bytes of the log with its stamps, and those of the open partition.
CREATE FUNCTION gom.log_size(OUT partitions bigint, OUT bytes bigint, OUT open_bytes bigint) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*), (sum(p.bytes) + pg_total_relation_size('gom.stamp'))::bigint, (sum(p.bytes) FILTER (WHERE p.is_open))::bigint
  FROM gom.log_partitions() p
$$;
