-- The ledger as it is read over GraphQL: the tables of V6 under the names and types of config/ledger.prisma. Endpoints stay
-- out: whoever has one can try to send to it.

CREATE VIEW gom."Notification" AS
SELECT
  id, subject, source, kind, node, operation, title, body, urgency, topic,
  (created_at AT TIME ZONE 'UTC')::timestamp(3) AS "createdAt",
  (expires_at AT TIME ZONE 'UTC')::timestamp(3) AS "expiresAt",
  (settled_at AT TIME ZONE 'UTC')::timestamp(3) AS "settledAt"
FROM gom.notification;

CREATE VIEW gom."Delivery" AS
SELECT
  id, notification, recipient, origin, device, state, attempts, status, reason,
  (created_at AT TIME ZONE 'UTC')::timestamp(3) AS "createdAt",
  (due_at AT TIME ZONE 'UTC')::timestamp(3) AS "dueAt",
  (sent_at AT TIME ZONE 'UTC')::timestamp(3) AS "sentAt",
  (settled_at AT TIME ZONE 'UTC')::timestamp(3) AS "settledAt"
FROM gom.delivery;
