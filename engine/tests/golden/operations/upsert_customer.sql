-- upsertBp
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where t1."extUid" = $1 for update
-- $1 = 'abc'
-- into r1
-- if r1 holds a value
  update "shop"."Bp" t1 set "name1" = $1, "updatedAt" = $2 where t1."uid" = $3 returning t1."uid"::text
  -- $1 = 'Luz María', $2 = '2026-11-23T00:00:00.000', $3 = r1
  delete from "shop"."_CustomerOf" t1 where t1."A" = $1
  -- $1 = r1
  with child as (select t1."uid" as id from "shop"."User" t1 where t1."uid" = $1), linked as (insert into "shop"."_CustomerOf" ("A", "B") select $2::varchar, child.id from child on conflict do nothing) select child.id::text from child
  -- $1 = 'user1', $2 = r1
  -- expects column 0, or: No Node for the model User with value user1 for uid found.
  select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Bp" t1 where t1."uid" = $1) t2)::text
  -- $1 = r1
  -- into r0
-- otherwise
  with written as (insert into "shop"."Bp" ("uid", "name1", "createdAt", "updatedAt") values ($1, $2, $3, $4) returning *) select (select row_to_json(t1.*) from (select written."uid" as "uid") t1)::text from written
  -- $1 = 'new1', $2 = 'Luz', $3 = '2026-11-23T00:00:00.000', $4 = '2026-11-23T00:00:00.000'
  -- into r0
