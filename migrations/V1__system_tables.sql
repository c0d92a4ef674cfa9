-- What was deployed here, and when. `gom migrate status` reads the last row of a schema.
CREATE TABLE gom.applied_datamodel (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The schema that holds the model's tables, e.g. default$default.
  schema_name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  -- The version of the program that applied it.
  gom_version text NOT NULL,
  -- The datamodel's text as it was given.
  datamodel text NOT NULL,
  -- What was done, step by step, in words.
  steps text[] NOT NULL
);

CREATE INDEX applied_datamodel_schema_name ON gom.applied_datamodel (schema_name, id DESC);
