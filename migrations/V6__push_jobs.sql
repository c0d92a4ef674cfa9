-- Push: what has happened that somebody may have to be told of, and who was told. See docs/PUSH.md.

-- Written by a trigger in the transaction that causes it, deleted in the one that makes a notification of it.
CREATE TABLE gom.job (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  -- What has changed: order, publication.
  subject text NOT NULL,
  schema_name text NOT NULL,
  -- The node's id.
  node text NOT NULL,
  -- Whether it is new.
  created boolean NOT NULL,
  -- The `sub` of the token by which it was written; null: by the service, or from outside the API.
  writer text,
  -- Of several changes with the same one, the first makes the job.
  dedup text NOT NULL,
  -- Counts the changes since: whoever has read the node before the last of them must read it again.
  version integer NOT NULL DEFAULT 1,
  due_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz,
  leased_by text,
  attempts integer NOT NULL DEFAULT 0,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (schema_name, subject, dedup)
);

CREATE INDEX job_due ON gom.job (due_at);

-- What is said. The rows are kept for some time: they are the ledger.
CREATE TABLE gom.notification (
  id varchar(25) PRIMARY KEY,
  -- The job's subject and node.
  subject text NOT NULL,
  source text NOT NULL,
  -- What the client reads: data.type, data.uid, data.operation, title, body.
  kind text NOT NULL,
  node text NOT NULL,
  operation text,
  title text NOT NULL,
  body text NOT NULL,
  ttl_ms bigint NOT NULL,
  urgency text NOT NULL,
  topic text,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- After that nobody is told of it any more.
  expires_at timestamptz NOT NULL,
  -- When nothing was left to be sent, and when the application had heard of that.
  settled_at timestamptz,
  reported_at timestamptz
);

CREATE INDEX notification_source ON gom.notification (source);
CREATE INDEX notification_open ON gom.notification (created_at) WHERE reported_at IS NULL;
CREATE INDEX notification_created_at ON gom.notification (created_at);

-- One notification to one device.
CREATE TABLE gom.delivery (
  id varchar(25) PRIMARY KEY,
  notification varchar(25) NOT NULL REFERENCES gom.notification ON DELETE CASCADE,
  -- The user, as tokens name them (`sub`).
  recipient text NOT NULL,
  endpoint text NOT NULL,
  -- The endpoint's scheme, host and port; and a name of the device that tells nothing of the endpoint.
  origin text NOT NULL,
  device text NOT NULL,
  -- WAITING, SENDING (intended: it may have been sent), DELIVERED, FAILED, GONE, EXPIRED.
  state text NOT NULL DEFAULT 'WAITING',
  attempts integer NOT NULL DEFAULT 0,
  -- The push service refused its length once.
  shortened boolean NOT NULL DEFAULT false,
  -- The last answer's HTTP status, and what was wrong.
  status integer,
  reason text,
  -- When it is to be looked at next: sent, or while SENDING given up on whoever intended it.
  due_at timestamptz NOT NULL DEFAULT now(),
  leased_by text,
  created_at timestamptz NOT NULL DEFAULT now(),
  sent_at timestamptz,
  settled_at timestamptz,
  UNIQUE (notification, endpoint)
);

CREATE INDEX delivery_due ON gom.delivery (due_at) WHERE state IN ('WAITING', 'SENDING');
CREATE INDEX delivery_open ON gom.delivery (notification) WHERE state IN ('WAITING', 'SENDING');
CREATE INDEX delivery_recipient ON gom.delivery (recipient, created_at);

-- Queues a job for a row of the change log. Its trigger says which rows; its arguments are the subject, and whether each
-- transaction makes a job (each) or a node has one job until it is done (latest).
-- Whoever may write a table queues its jobs, without rights on them.
CREATE FUNCTION gom.queue_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who text := nullif(current_setting('gom.writer', true), '');
BEGIN
  IF TG_ARGV[1] = 'each' THEN
    INSERT INTO gom.job (subject, schema_name, node, created, writer, dedup)
    VALUES (TG_ARGV[0], NEW.schema_name, NEW.node, NEW.kind = 'C', who, NEW.node || ' ' || NEW.transaction)
    ON CONFLICT (schema_name, subject, dedup) DO NOTHING;
  ELSIF NEW.kind = 'D' THEN
    UPDATE gom.job SET version = version + 1, due_at = now()
    WHERE schema_name = NEW.schema_name AND subject = TG_ARGV[0] AND dedup = NEW.node;
  ELSE
    INSERT INTO gom.job AS job (subject, schema_name, node, created, writer, dedup)
    VALUES (TG_ARGV[0], NEW.schema_name, NEW.node, NEW.kind = 'C', who, NEW.node)
    ON CONFLICT (schema_name, subject, dedup) DO UPDATE SET version = job.version + 1, due_at = now();
  END IF;
  RETURN NULL;
END
$$;
