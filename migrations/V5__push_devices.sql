-- Devices that are sent push messages, for a deployment without Redis.

CREATE TABLE gom.push_device (
  -- A URL of the push service's. Whoever has it can send there.
  endpoint text PRIMARY KEY,
  -- Whose it is: the access token's `sub`.
  subject text NOT NULL,
  -- The browser's public key, an uncompressed point on P-256, and the secret that it shares with us.
  p256dh bytea NOT NULL CHECK (octet_length(p256dh) = 65),
  auth bytea NOT NULL CHECK (octet_length(auth) = 16),
  -- When the push service ends it, if it said so: milliseconds since 1970.
  expires_ms bigint,
  -- When it was subscribed last.
  seen_at timestamptz NOT NULL
);

CREATE INDEX push_device_subject ON gom.push_device (subject, seen_at);
CREATE INDEX push_device_expires_ms ON gom.push_device (expires_ms) WHERE expires_ms IS NOT NULL;

-- A device is its user's and nobody else's. Of more devices than `most` those go that were subscribed the longest time ago.
-- Gives 0 if it was not known, 1 if nothing has changed, 2 if it was renewed, 3 if another user had it.
CREATE FUNCTION gom.subscribe_device(device text, of_subject text, new_p256dh bytea, new_auth bytea, new_expires_ms bigint, most integer)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
  before gom.push_device;
  change integer := 0;
BEGIN
  -- Two new devices of one user, each of which would find room, come one after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended('gom.push_device ' || of_subject, 0));
  LOOP
    INSERT INTO gom.push_device (endpoint, subject, p256dh, auth, expires_ms, seen_at)
    VALUES (device, of_subject, new_p256dh, new_auth, new_expires_ms, clock_timestamp())
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    SELECT * INTO before FROM gom.push_device WHERE endpoint = device FOR UPDATE;
    -- Removed between the two statements.
    CONTINUE WHEN NOT FOUND;
    change := CASE
      WHEN before.subject <> of_subject THEN 3
      WHEN (before.p256dh, before.auth) = (new_p256dh, new_auth) AND before.expires_ms IS NOT DISTINCT FROM new_expires_ms THEN 1
      ELSE 2
    END;
    UPDATE gom.push_device
    SET subject = of_subject, p256dh = new_p256dh, auth = new_auth, expires_ms = new_expires_ms, seen_at = clock_timestamp()
    WHERE endpoint = device;
    EXIT;
  END LOOP;
  -- What somebody else has in hand is left: waiting for it here could be waiting for each other.
  DELETE FROM gom.push_device WHERE endpoint IN (
    SELECT endpoint FROM gom.push_device
    WHERE expires_ms < extract(epoch FROM clock_timestamp()) * 1000 AND endpoint <> device
    ORDER BY expires_ms LIMIT 10 FOR UPDATE SKIP LOCKED);
  DELETE FROM gom.push_device WHERE endpoint IN (
    SELECT endpoint FROM gom.push_device WHERE subject = of_subject AND endpoint <> device
    ORDER BY seen_at DESC, endpoint OFFSET most - 1 FOR UPDATE SKIP LOCKED);
  RETURN change;
END
$$;
