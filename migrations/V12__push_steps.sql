-- Push: a notification for very many is expanded in steps, and settled ones are reported in turn. See docs/PUSH.md.

-- First, in the mode that the reference below takes: expansions lock the job before the notification. The other way round
-- they would wait for each other, and everybody behind the notification with them.
LOCK TABLE gom.job IN SHARE ROW EXCLUSIVE MODE;

ALTER TABLE gom.notification
  -- The job that still has recipients to be written, and the place among them that has been reached. The reference keeps
  -- anyone, an earlier version of the server too, from removing the job before its last recipient.
  ADD COLUMN expanding bigint REFERENCES gom.job,
  ADD COLUMN expanded_to text,
  -- When the application is to be told that it is settled: put off while one server is about it, and after a failure.
  ADD COLUMN report_at timestamptz NOT NULL DEFAULT now(),
  ADD CONSTRAINT notification_settled_expanded CHECK (expanding IS NULL OR settled_at IS NULL);

CREATE INDEX notification_expanding ON gom.notification (expanding) WHERE expanding IS NOT NULL;
CREATE INDEX notification_unreported ON gom.notification (report_at) WHERE reported_at IS NULL AND settled_at IS NOT NULL;

-- As in V6, but the first branch: numbers of transactions begin again in a database that was restored from a dump. A job
-- that was dumped with it is of another transaction then, and is read again.
CREATE OR REPLACE FUNCTION gom.queue_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  who text := nullif(current_setting('gom.writer', true), '');
BEGIN
  IF TG_ARGV[1] = 'each' THEN
    INSERT INTO gom.job AS job (subject, schema_name, node, created, writer, dedup)
    VALUES (TG_ARGV[0], NEW.schema_name, NEW.node, NEW.kind = 'C', who, NEW.node || ' ' || NEW.transaction)
    ON CONFLICT (schema_name, subject, dedup) DO UPDATE
    SET version = job.version + 1, created = job.created OR excluded.created, writer = excluded.writer,
      due_at = now(), created_at = now()
    WHERE job.created_at <> now();
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
