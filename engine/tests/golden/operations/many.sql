-- updateManyOrders
with changed as (update "shop"."Order" t1 set "stage" = $1, "updatedAt" = $2 where t1."stage" = $3 returning t1."uid"::text) select count(*)::text from changed
-- $1 = 'CLOSED', $2 = '2026-11-23T00:00:00.000', $3 = 'OPEN'
-- into r1
select row_to_json(t1.*)::text from (select $1::bigint as "count" where $1::bigint is not null) t1
-- $1 = r1
-- into r0
-- deleteManyItems
select array_agg(t2.id)::text, count(*)::text from (select t1."uid" as id from "shop"."Item" t1 where t1."order" is null order by t1."uid" for update) t2
-- 
-- into r1
-- into r2
-- if r1 holds a value
  with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select array_agg(doomed.id) filter (where doomed.model = 3)::text, array_agg(doomed.id) filter (where doomed.model = 4)::text from doomed
  -- $1 = r1
  -- into r3
  -- into r4
  select count(*)::text from (select from "shop"."Price" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
  -- $1 = r4
  with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select 1 from doomed full join (select 3 as model, unnest($2::text[]) as id union all select 4 as model, unnest($3::text[]) as id) going on going.model = doomed.model and going.id = doomed.id where going.id is null or doomed.id is null limit 1
  -- $1 = r1, $2 = r3, $3 = r4
  -- expects no row, or the program is repeated
  select 1 from "shop"."Price" t1 where t1."item" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
  -- $1 = r3, $2 = r4
  -- expects no row, or: The change you are trying to make would violate the required relation 'ItemPrices' between Item and Price
  delete from "shop"."Price" where "uid" = any($1)
  -- $1 = r4
  delete from "shop"."Item" where "uid" = any($1)
  -- $1 = r3
-- otherwise
select row_to_json(t1.*)::text from (select $1::bigint as "n" where $1::bigint is not null) t1
-- $1 = r2
-- into r0
