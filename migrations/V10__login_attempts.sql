-- Login limits that tell attempts in flight from wrong ones, and that are settled in the order in which they were reserved.

-- As the function of the same name with five parameters, which servers of the previous version go on to use; but where only
-- points of attempts in flight are in the way (each of which may be right, and gives its point back then), the counter is
-- busy: it gets this attempt's point back as well, and blocks nobody.
CREATE FUNCTION gom.reserve_attempt(
  keys text[], points integer[], amounts integer[], windows bigint[], blocks bigint[], in_flight integer[])
RETURNS TABLE (consumed integer, left_ms bigint, busy boolean)
LANGUAGE plpgsql AS $$
DECLARE
  taken integer[] := '{}';
  ends timestamptz[] := '{}';
  waits boolean[] := '{}';
  refused boolean := false;
  one_taken integer;
  one_end timestamptz;
  one_waits boolean;
  moment timestamptz;
BEGIN
  FOR i IN 1 .. cardinality(keys) LOOP
    INSERT INTO gom.login_limit AS counter (key, consumed, expires_at)
    VALUES (keys[i], amounts[i], clock_timestamp() + windows[i] * interval '1 millisecond')
    ON CONFLICT (key) DO UPDATE SET
      consumed = CASE WHEN counter.expires_at <= clock_timestamp() THEN 0 ELSE counter.consumed END + amounts[i],
      expires_at = CASE WHEN counter.expires_at <= clock_timestamp() THEN excluded.expires_at ELSE counter.expires_at END
    RETURNING counter.consumed, counter.expires_at INTO one_taken, one_end;
    one_waits := false;
    IF one_taken > points[i] THEN
      refused := true;
      one_waits := one_taken - in_flight[i] <= points[i];
      -- Blocked by this attempt, not by an earlier one.
      IF NOT one_waits AND blocks[i] > 0 AND one_taken <= points[i] + amounts[i] THEN
        one_end := clock_timestamp() + blocks[i] * interval '1 millisecond';
        UPDATE gom.login_limit SET expires_at = one_end WHERE key = keys[i];
      END IF;
    END IF;
    taken := taken || one_taken;
    ends := ends || one_end;
    waits := waits || one_waits;
  END LOOP;
  moment := clock_timestamp();
  FOR i IN 1 .. cardinality(keys) LOOP
    IF refused AND (taken[i] <= points[i] OR waits[i]) THEN
      UPDATE gom.login_limit AS counter SET consumed = counter.consumed - 1 WHERE key = keys[i];
      taken[i] := taken[i] - 1;
    END IF;
    consumed := taken[i];
    left_ms := greatest(0, ceil(extract(epoch FROM ends[i] - moment) * 1000));
    busy := waits[i];
    RETURN NEXT;
  END LOOP;
END
$$;

-- What became of an attempt: a counter starts over, or gets its point back unless it has ended. In the order of the keys,
-- which is that of the reservation: two of them never wait for each other.
CREATE FUNCTION gom.settle_attempt(keys text[], resets boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. cardinality(keys) LOOP
    IF resets[i] THEN
      DELETE FROM gom.login_limit WHERE key = keys[i];
    ELSE
      UPDATE gom.login_limit SET consumed = consumed - 1
      WHERE key = keys[i] AND consumed > 0 AND expires_at > clock_timestamp();
    END IF;
  END LOOP;
END
$$;
