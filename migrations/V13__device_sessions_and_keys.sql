-- In which session a device was subscribed, so that it is forgotten with it, and for which VAPID key.

ALTER TABLE gom.push_device
  -- The session's handle, as `gom session list` shows it. Unknown of what an earlier version subscribed.
  ADD COLUMN session text,
  -- The fingerprint of the public key for which the browser subscribed. Unknown as above, or while push was off.
  ADD COLUMN vapid_key text;

-- A device is its user's and nobody else's. Of more devices than `most` those go that were subscribed the longest time ago.
-- Gives 0 if it was not known, 1 if nothing has changed, 2 if it was renewed, 3 if another user had it, 4 if it stays as it
-- is because it was subscribed for another key: an endpoint with the same keys is the same subscription.
-- The function of V5 stays beside it, for servers of the version before.
CREATE FUNCTION gom.subscribe_device(device text, of_subject text, new_p256dh bytea, new_auth bytea, new_expires_ms bigint, most integer,
  of_session text, for_key text)
RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change integer;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('gom.push_device ' || of_subject, 0));
  IF EXISTS (SELECT FROM gom.push_device
    WHERE endpoint = device AND p256dh = new_p256dh AND auth = new_auth AND vapid_key <> for_key) THEN
    RETURN 4;
  END IF;
  change := gom.subscribe_device(device, of_subject, new_p256dh, new_auth, new_expires_ms, most);
  UPDATE gom.push_device SET session = of_session, vapid_key = coalesce(for_key, vapid_key)
  WHERE endpoint = device AND subject = of_subject;
  RETURN change;
END
$$;

-- A browser's subscription was replaced by another: the new device is of the user and the session that the old one was of.
-- If another user has subscribed it meanwhile, it stays that user's: the one who has logged in since. The old one is forgotten.
-- Gives what gom.subscribe_device gives, 5 if another user keeps the new device, or -1 if there is no such old device.
CREATE FUNCTION gom.renew_device(old_endpoint text, old_p256dh bytea, old_auth bytea, device text, new_p256dh bytea, new_auth bytea,
  new_expires_ms bigint, most integer, for_key text)
RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner text;
  of_session text;
  known gom.push_device;
  added boolean;
  change integer;
BEGIN
  SELECT subject INTO owner FROM gom.push_device WHERE endpoint = old_endpoint AND p256dh = old_p256dh AND auth = old_auth;
  IF NOT FOUND THEN
    RETURN -1;
  END IF;
  -- Before any row is locked, as whoever subscribes or forgets does.
  PERFORM pg_advisory_xact_lock(hashtextextended('gom.push_device ' || owner, 0));
  -- In one order: of two renewals in opposite directions each would have what the other waits for.
  PERFORM FROM gom.push_device WHERE endpoint IN (old_endpoint, device) ORDER BY endpoint FOR UPDATE;
  SELECT session INTO of_session FROM gom.push_device
  WHERE endpoint = old_endpoint AND p256dh = old_p256dh AND auth = old_auth AND subject = owner FOR UPDATE;
  IF NOT FOUND THEN
    RETURN -1;
  END IF;
  IF old_endpoint = device THEN
    RETURN gom.subscribe_device(device, owner, new_p256dh, new_auth, new_expires_ms, most, of_session, for_key);
  END IF;
  LOOP
    -- An endpoint that nobody has is taken at once, so that nobody else can between the look and the write.
    INSERT INTO gom.push_device (endpoint, subject, p256dh, auth, expires_ms, seen_at)
    VALUES (device, owner, new_p256dh, new_auth, new_expires_ms, clock_timestamp())
    ON CONFLICT DO NOTHING;
    added := FOUND;
    EXIT WHEN added;
    SELECT * INTO known FROM gom.push_device WHERE endpoint = device FOR UPDATE;
    -- Removed between the two statements.
    CONTINUE WHEN NOT FOUND;
    IF (known.p256dh, known.auth) = (new_p256dh, new_auth) THEN
      IF known.vapid_key <> for_key THEN
        RETURN 4;
      ELSIF known.subject <> owner THEN
        DELETE FROM gom.push_device WHERE endpoint = old_endpoint;
        RETURN 5;
      END IF;
    END IF;
    EXIT;
  END LOOP;
  -- First, so that the new one takes its room and nobody else's.
  DELETE FROM gom.push_device WHERE endpoint = old_endpoint;
  change := gom.subscribe_device(device, owner, new_p256dh, new_auth, new_expires_ms, most, of_session, for_key);
  RETURN CASE WHEN added THEN 0 ELSE change END;
END
$$;

-- Forgets a user's devices: all, those of one session, or one. How many there were.
CREATE FUNCTION gom.forget_devices(of_subject text, of_session text, device text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  forgotten bigint;
BEGIN
  -- One that is subscribed or renewed meanwhile is waited for, and forgotten as well.
  PERFORM pg_advisory_xact_lock(hashtextextended('gom.push_device ' || of_subject, 0));
  DELETE FROM gom.push_device
  WHERE subject = of_subject AND (of_session IS NULL OR session = of_session) AND (device IS NULL OR endpoint = device);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  RETURN forgotten;
END
$$;
