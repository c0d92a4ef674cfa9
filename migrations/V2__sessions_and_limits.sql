-- Sessions and login limits for a deployment without Redis. What has expired is deleted by the server, a few rows at a time.

CREATE TABLE gom.session (
  id text PRIMARY KEY,
  -- Whom it belongs to: the access token's `sub`.
  subject text NOT NULL,
  -- Who issued the token: auth0, accounts, phone.
  provider text NOT NULL,
  -- The third part of the access token; the browser holds the other two.
  signature text NOT NULL,
  refresh_token text,
  opened_at timestamptz NOT NULL,
  seen_at timestamptz NOT NULL,
  -- When it ends unless it is used before.
  expires_at timestamptz NOT NULL,
  -- What the last refresh replaced, and `header.payload` of what replaced it.
  previous_signature text,
  previous_head text,
  previous_until timestamptz,
  -- Who is refreshing it, and until when this keeps others from doing the same.
  refreshing text,
  refreshing_until timestamptz
);

CREATE INDEX session_subject ON gom.session (subject);
CREATE INDEX session_expires_at ON gom.session (expires_at);

CREATE TABLE gom.login_limit (
  -- Which limit, a colon, and whose.
  key text PRIMARY KEY,
  -- Points taken in this window; more than the limit has means blocked.
  consumed integer NOT NULL,
  -- The end of the window or of the block.
  expires_at timestamptz NOT NULL
);

CREATE INDEX login_limit_expires_at ON gom.login_limit (expires_at);

-- Takes points from all of the counters. If one of them has too few, the others get one point back. One row for each key:
-- points taken and milliseconds until the window or the block ends.
--
-- Whoever names several keys must always do so in the same order of kinds, or two of them could wait for each other.
CREATE FUNCTION gom.reserve_attempt(keys text[], points integer[], amounts integer[], windows bigint[], blocks bigint[])
RETURNS TABLE (consumed integer, left_ms bigint)
LANGUAGE plpgsql AS $$
DECLARE
  taken integer[] := '{}';
  ends timestamptz[] := '{}';
  refused boolean := false;
  one_taken integer;
  one_end timestamptz;
  moment timestamptz;
BEGIN
  FOR i IN 1 .. cardinality(keys) LOOP
    INSERT INTO gom.login_limit AS counter (key, consumed, expires_at)
    VALUES (keys[i], amounts[i], clock_timestamp() + windows[i] * interval '1 millisecond')
    ON CONFLICT (key) DO UPDATE SET
      consumed = CASE WHEN counter.expires_at <= clock_timestamp() THEN 0 ELSE counter.consumed END + amounts[i],
      expires_at = CASE WHEN counter.expires_at <= clock_timestamp() THEN excluded.expires_at ELSE counter.expires_at END
    RETURNING counter.consumed, counter.expires_at INTO one_taken, one_end;
    IF one_taken > points[i] THEN
      refused := true;
      -- Blocked by this attempt, not by an earlier one.
      IF blocks[i] > 0 AND one_taken <= points[i] + amounts[i] THEN
        one_end := clock_timestamp() + blocks[i] * interval '1 millisecond';
        UPDATE gom.login_limit SET expires_at = one_end WHERE key = keys[i];
      END IF;
    END IF;
    taken := taken || one_taken;
    ends := ends || one_end;
  END LOOP;
  moment := clock_timestamp();
  FOR i IN 1 .. cardinality(keys) LOOP
    IF refused AND taken[i] <= points[i] THEN
      UPDATE gom.login_limit AS counter SET consumed = counter.consumed - 1 WHERE key = keys[i];
      taken[i] := taken[i] - 1;
    END IF;
    consumed := taken[i];
    left_ms := greatest(0, ceil(extract(epoch FROM ends[i] - moment) * 1000));
    RETURN NEXT;
  END LOOP;
END
$$;
