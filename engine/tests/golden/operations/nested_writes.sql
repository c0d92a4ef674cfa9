-- updateUser
select t1."uid"::text, array[t1."uid"]::text from "shop"."User" t1 where t1."extUid" = $1 for update
-- $1 = 'auth0|1'
-- into r1
-- expects a row, or: No Node for the model User with value auth0|1 for extUid found.
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'User', $3 = r1
insert into "shop"."Bp" ("uid", "name1", "createdAt", "updatedAt") values ($1, $2, $3, $4) returning "uid"::text
-- $1 = 'new1', $2 = 'Luz', $3 = '2026-11-23T00:00:00.000', $4 = '2026-11-23T00:00:00.000'
with child as (select t1."uid" as id from "shop"."Bp" t1 where t1."uid" = $1), linked as (insert into "shop"."_CustomerOf" ("B", "A") select $2::varchar, child.id from child on conflict do nothing) select child.id::text from child
-- $1 = 'new1', $2 = r1
select t1."uid"::text, array[t1."uid"]::text, case when t1."assignedTo" = $1 then t1."uid"::text end from "shop"."Order" t1 where t1."uid" = $2
-- $1 = r1, $2 = 'order1'
-- into r2
-- into r3
-- expects column 0, or: No Node for the model Order with value order1 for uid found.; column 2, or: The relation UserOrder has no node for the model User connected to a Node for the model Order with the value 'order1' for the field 'uid' on your mutation path.
update "shop"."Order" t1 set "name" = $1, "updatedAt" = $2 where t1."uid" = $3 returning t1."uid"::text
-- $1 = 'x', $2 = '2026-11-23T00:00:00.000', $3 = 'order1'
select array_agg(t2.id)::text, count(*)::text from (select t1."uid" as id from "shop"."Item" t1 where t1."order" = $1 and t1."quantity" < $2 order by t1."uid" for update) t2
-- $1 = 'order1', $2 = '1'
-- into r4
-- if r4 holds a value
  with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select array_agg(doomed.id) filter (where doomed.model = 3)::text, array_agg(doomed.id) filter (where doomed.model = 4)::text from doomed
  -- $1 = r4
  -- into r5
  -- into r6
  select count(*)::text from (select from "shop"."Price" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
  -- $1 = r6
  with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select 1 from doomed full join (select 3 as model, unnest($2::text[]) as id union all select 4 as model, unnest($3::text[]) as id) going on going.model = doomed.model and going.id = doomed.id where going.id is null or doomed.id is null limit 1
  -- $1 = r4, $2 = r5, $3 = r6
  -- expects no row, or the program is repeated
  select 1 from "shop"."Price" t1 where t1."item" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
  -- $1 = r5, $2 = r6
  -- expects no row, or: The change you are trying to make would violate the required relation 'ItemPrices' between Item and Price
  delete from "shop"."Price" where "uid" = any($1)
  -- $1 = r6
  delete from "shop"."Item" where "uid" = any($1)
  -- $1 = r5
-- otherwise
select t1."uid"::text, array[t1."uid"]::text from "shop"."Promotion" t1 where t1."assignedTo" = $1 and t1."uid" = $2 limit 1
-- $1 = r1, $2 = 'promo1'
-- into r7
-- if r7 holds a value
  update "shop"."Promotion" t1 set "name" = $1, "updatedAt" = $2 where t1."uid" = $3 returning t1."uid"::text
  -- $1 = 'C', $2 = '2026-11-23T00:00:00.000', $3 = r7
-- otherwise
  insert into "shop"."Promotion" ("uid", "code", "name", "createdAt", "updatedAt", "assignedTo") values ($1, $2, $3, $4, $5, $6::varchar) returning "uid"::text, "assignedTo"::text
  -- $1 = 'new2', $2 = 'A', $3 = 'B', $4 = '2026-11-23T00:00:00.000', $5 = '2026-11-23T00:00:00.000', $6 = r1
with child as (select t1."uid" as id from "shop"."Bp" t1 where t1."uid" = $1), linked as (insert into "shop"."_CustomerOf" ("B", "A") select $2::varchar, child.id from child on conflict do nothing) select child.id::text from child
-- $1 = 'bp1', $2 = r1
-- expects column 0, or: No Node for the model Bp with value bp1 for uid found.
select t1."uid"::text, array[t1."uid"]::text, case when exists (select 1 from "shop"."_CustomerOf" t2 where t2."B" = $1 and t2."A" = t1."uid") then t1."uid"::text end from "shop"."Bp" t1 where t1."extUid" = $2
-- $1 = r1, $2 = 'abc'
-- into r8
-- into r9
-- expects column 0, or: No Node for the model Bp with value abc for extUid found.; column 2, or: The relation CustomerOf has no node for the model User with the value '1' for the field 'uid' connected to a node for the model Bp with the value 'abc' for the field 'extUid'
delete from "shop"."_CustomerOf" where "B" = $1 and "A" = $2::varchar
-- $1 = r1, $2 = r8
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."User" t1 where t1."uid" = $1) t2)::text
-- $1 = r1
-- into r0
