-- How customers log in: for each customer and each shop (a seller) a code of its own, and the telephone number as that
-- shop gave it. No shop reads another's: docs/adr/0025-a-login-for-each-customer-and-shop.md.

CREATE TABLE gom.customer_login (
  schema_name text NOT NULL,
  -- Ids in the datamodel's tables: Bp.uid, User.uid.
  customer text NOT NULL,
  seller text NOT NULL,
  code text NOT NULL,
  -- As it was typed.
  phone text,
  PRIMARY KEY (schema_name, customer, seller),
  UNIQUE (schema_name, code)
);

CREATE INDEX customer_login_seller ON gom.customer_login (schema_name, seller);

-- Ten random letters and digits, like the codes that the API makes: 59 bits. The low bits of two random bytes are close
-- enough to evenly spread over 62 characters.
CREATE FUNCTION gom.new_customer_code() RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789',
    1 + (get_byte(random, 0) * 256 + get_byte(random, 1)) % 62, 1), '')
  FROM (SELECT uuid_send(gen_random_uuid()) AS random FROM generate_series(1, 10) OFFSET 0) AS bytes
$$;

-- The functions below are given the names of the datamodel's tables and columns:
--   1 customers' table, 2 its id, 3 the code in the row, 4 the telephone number, 5 who made the row ('' : no such column),
--   6 sellers' table, 7 its id, 8 the seller's subject, 9 the table of the links, 10 and 11 its columns of the customer
--   and of the seller, 12 at which end of a link in gom.change the customer is (node or partner).

-- Gives a customer a login at a shop, unless it has one. The first shop gets the code that stands in the row.
CREATE FUNCTION gom.add_customer_login(of_schema text, names text[], of_customer text, of_seller text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  row_code text;
  row_phone text;
BEGIN
  EXECUTE format('SELECT %I::text, %I::text FROM %I.%I WHERE %I = $1', names[3], names[4], of_schema, names[1], names[2])
  INTO row_code, row_phone USING of_customer;
  LOOP
    INSERT INTO gom.customer_login (schema_name, customer, seller, code, phone)
    VALUES (of_schema, of_customer, of_seller, coalesce(row_code, gom.new_customer_code()), row_phone)
    ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND OR EXISTS (
      SELECT FROM gom.customer_login
      WHERE schema_name = of_schema AND customer = of_customer AND seller = of_seller);
    -- Another shop has the code of the row.
    row_code := NULL;
  END LOOP;
END
$$;

-- Keeps the logins in step with the datamodel's tables, whoever writes them. Its trigger is made when a shop's datamodel
-- is deployed.
CREATE FUNCTION gom.follow_customer_logins() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  names text[] := ARRAY(SELECT unnest(TG_ARGV));
  given text;
BEGIN
  IF NEW.table_name = names[9] THEN
    IF NEW.kind = 'L' THEN
      PERFORM gom.add_customer_login(NEW.schema_name, names,
        CASE names[12] WHEN 'node' THEN NEW.node ELSE NEW.partner END,
        CASE names[12] WHEN 'node' THEN NEW.partner ELSE NEW.node END);
    END IF;
  ELSIF NEW.table_name = names[6] THEN
    IF NEW.kind = 'D' THEN
      DELETE FROM gom.customer_login WHERE schema_name = NEW.schema_name AND seller = NEW.node;
    END IF;
  ELSIF NEW.kind = 'D' THEN
    DELETE FROM gom.customer_login WHERE schema_name = NEW.schema_name AND customer = NEW.node;
  ELSIF NEW.kind = 'U' THEN
    -- A number that a seller writes counts in that seller's shop alone: the write itself puts it there. One that the
    -- service writes, or that comes from outside the API, counts in all of them.
    IF names[4] = ANY (NEW.columns) AND coalesce(current_setting('gom.writer', true), '') = '' THEN
      EXECUTE format('SELECT %I::text FROM %I.%I WHERE %I = $1', names[4], NEW.schema_name, names[1], names[2])
      INTO given USING NEW.node;
      UPDATE gom.customer_login SET phone = given WHERE schema_name = NEW.schema_name AND customer = NEW.node;
    END IF;
    -- Another code in the row replaces the one that was there, or the first shop's if there was none. No user gives codes.
    IF names[3] = ANY (NEW.columns) AND coalesce(current_setting('gom.writer', true), '') = '' THEN
      EXECUTE format('SELECT %I::text FROM %I.%I WHERE %I = $1', names[3], NEW.schema_name, names[1], names[2])
      INTO given USING NEW.node;
      IF given IS NOT NULL THEN
        UPDATE gom.customer_login SET code = given
        WHERE schema_name = NEW.schema_name AND customer = NEW.node AND seller = (
          SELECT seller FROM gom.customer_login
          WHERE schema_name = NEW.schema_name AND customer = NEW.node
          ORDER BY code IS NOT DISTINCT FROM NEW.old ->> names[3] DESC, seller LIMIT 1);
      END IF;
    END IF;
  END IF;
  RETURN NULL;
END
$$;

-- Gives logins to all customers who have none yet. Whose code is the row's: of the shop that made the row, else of the
-- one whose id comes first. What an earlier server wrote for a customer under the bare id, which another user's subject
-- might be, is given the name that tells whose it is.
CREATE FUNCTION gom.fill_customer_logins(of_schema text, VARIADIC names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  link record;
  own text := CASE names[5] WHEN '' THEN 'false'
    ELSE format('(c.%I IS NOT DISTINCT FROM s.%I)', names[5], names[8]) END;
BEGIN
  FOR link IN EXECUTE format(
    'SELECT c.%2$I::text AS customer, s.%7$I::text AS seller
     FROM %1$I.%3$I AS c JOIN %1$I.%9$I AS l ON l.%4$I = c.%2$I JOIN %1$I.%6$I AS s ON s.%7$I = l.%5$I
     WHERE NOT EXISTS (SELECT FROM gom.customer_login
       WHERE schema_name = $1 AND customer = c.%2$I AND seller = s.%7$I)
     ORDER BY c.%2$I, s.%8$I IS NULL, ' || own || ' DESC, s.%7$I',
    of_schema, names[2], names[1], names[10], names[11], names[6], names[7], names[8], names[9])
    USING of_schema
  LOOP
    PERFORM gom.add_customer_login(of_schema, names, link.customer, link.seller);
  END LOOP;

  -- Bare ids that no seller has for a subject, with the customer's first shop, and whether that is the only one.
  EXECUTE format(
    'CREATE TEMPORARY TABLE gom_renamed_subject ON COMMIT DROP AS
     SELECT c.%2$I::text AS bare, counted.shops = 1 AS only_one,
       ''customer:'' || replace(replace(c.%2$I::text, ''%%'', ''%%25''), '':'', ''%%3A'') || '':'' || s.%6$I AS subject
     FROM %1$I.%3$I AS c
     JOIN gom.customer_login AS l ON l.schema_name = $1 AND l.customer = c.%2$I AND l.code = c.%7$I
     JOIN %1$I.%4$I AS s ON s.%5$I = l.seller AND s.%6$I IS NOT NULL
     CROSS JOIN LATERAL (SELECT count(*) AS shops FROM gom.customer_login AS a
       WHERE a.schema_name = $1 AND a.customer = c.%2$I) AS counted
     WHERE NOT EXISTS (SELECT FROM %1$I.%4$I AS other WHERE other.%6$I = c.%2$I)
       AND (EXISTS (SELECT FROM gom.push_device AS d WHERE d.subject = c.%2$I)
         OR EXISTS (SELECT FROM gom.delivery AS d WHERE d.recipient = c.%2$I)
         OR EXISTS (SELECT FROM gom.job AS j WHERE j.writer = c.%2$I))',
    of_schema, names[2], names[1], names[6], names[7], names[8], names[3])
    USING of_schema;
  -- Whose device this is, nobody can tell: it is subscribed again at the next login.
  EXECUTE format(
    'DELETE FROM gom.push_device AS d USING %1$I.%2$I AS c, %1$I.%4$I AS s
     WHERE d.subject = c.%3$I AND d.subject = s.%5$I',
    of_schema, names[1], names[2], names[6], names[8]);
  UPDATE gom.push_device AS d SET subject = r.subject FROM pg_temp.gom_renamed_subject AS r WHERE d.subject = r.bare;
  -- What was sent for another shop is not shown to a customer of the first: it stays under the bare id, and nobody's.
  UPDATE gom.delivery AS d SET recipient = r.subject FROM pg_temp.gom_renamed_subject AS r
  WHERE d.recipient = r.bare AND (r.only_one OR d.state IN ('WAITING', 'SENDING'));
  UPDATE gom.job AS j SET writer = r.subject FROM pg_temp.gom_renamed_subject AS r WHERE j.writer = r.bare;
  DROP TABLE pg_temp.gom_renamed_subject;
END
$$;
