-- Push: deliveries are claimed by push service and urgency, one at a time of each topic for a device. See docs/PUSH.md and
-- docs/adr/0031-claims-by-service-and-rank.md.

-- Orders notifications by the state that they were composed from: a number is taken after the commit of the change that a
-- job stands for, and before its node is read, so that the highest number of a topic has read its last state.
CREATE SEQUENCE gom.notification_position;

ALTER TABLE gom.notification ADD COLUMN position bigint;

ALTER TABLE gom.delivery
  -- 0: urgent, claimed before all others; 1: the others.
  ADD COLUMN rank smallint NOT NULL DEFAULT 1,
  -- The notification's.
  ADD COLUMN topic text,
  ADD COLUMN position bigint,
  -- What has the same key follows each other to a device, whatever its topic: the tag under which devices show it. Only with
  -- a topic.
  ADD COLUMN ordering_key text,
  -- The newer notification of the same topic that took this one's place at the device: the state is SUPERSEDED then.
  ADD COLUMN superseded_by varchar(25),
  -- Attempts of which no result is known: their server died, or lost its lease.
  ADD COLUMN lost integer NOT NULL DEFAULT 0;

-- What is open now, in the order in which it was made known.
UPDATE gom.notification n SET position = ordered.position
FROM (SELECT id, nextval('gom.notification_position') AS position
  FROM (SELECT id FROM gom.notification WHERE settled_at IS NULL AND topic IS NOT NULL ORDER BY created_at) open) ordered
WHERE n.id = ordered.id;
UPDATE gom.delivery d SET rank = CASE n.urgency WHEN 'high' THEN 0 ELSE 1 END, topic = n.topic, position = n.position,
  ordering_key = CASE WHEN n.topic IS NOT NULL THEN n.kind || ':' || n.node END
FROM gom.notification n WHERE d.notification = n.id AND d.state IN ('WAITING', 'SENDING');

-- Its condition is one that no other index has, so that statistics from before a backlog cannot lead a claim to another.
CREATE INDEX delivery_lane ON gom.delivery (origin, rank, due_at) WHERE settled_at IS NULL;
-- What is open of a key, however much of it is settled; and what is newer than a certain one.
CREATE INDEX delivery_order ON gom.delivery (device, ordering_key, ((settled_at IS NULL)::int), position)
WHERE ordering_key IS NOT NULL;
-- delivery_due stays: servers of the version before claim by it during an update. A later version drops it.

-- As in V7; whoever knows no SUPERSEDED reads of it as of what was not delivered in time.
CREATE OR REPLACE VIEW gom."Delivery" AS
SELECT
  id, notification, recipient, origin, device,
  CASE state WHEN 'SUPERSEDED' THEN 'EXPIRED' ELSE state END AS state,
  attempts, status, reason,
  (created_at AT TIME ZONE 'UTC')::timestamp(3) AS "createdAt",
  (due_at AT TIME ZONE 'UTC')::timestamp(3) AS "dueAt",
  (sent_at AT TIME ZONE 'UTC')::timestamp(3) AS "sentAt",
  (settled_at AT TIME ZONE 'UTC')::timestamp(3) AS "settledAt",
  superseded_by AS "supersededBy"
FROM gom.delivery;
