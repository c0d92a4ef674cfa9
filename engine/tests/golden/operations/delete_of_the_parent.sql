-- updateBp
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where t1."uid" = $1 for update
-- $1 = 'b'
-- expects a row, or: No Node for the model Bp with value b for uid found.
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'Bp', $3 = 'b'
select t1."uid"::text, array[t1."uid"]::text, case when exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = $1 and t2."B" = t1."uid") then t1."uid"::text end from "shop"."User" t1 where t1."uid" = $2 for update
-- $1 = 'b', $2 = 'u'
-- into r1
-- into r2
-- expects column 0, or: No Node for the model User with value u for uid found.; column 2, or: The relation CustomerOf has no node for the model Bp with the value 'b' for the field 'uid' connected to a node for the model User with the value 'u' for the field 'uid'
with recursive doomed(model, id) as (select 1, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 0 as model, t1."A"::text as id from "shop"."_CustomerOf" t1 where t1."B" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 2 as model, t2."uid"::text as id from "shop"."Order" t2 where t2."assignedTo" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 5 as model, t3."uid"::text as id from "shop"."Promotion" t3 where t3."assignedTo" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 2 as model, t4."uid"::text as id from "shop"."Order" t4 where t4."issuedTo" = (case when doomed.model = 0 then doomed.id end)::varchar union all select 3 as model, t5."uid"::text as id from "shop"."Item" t5 where t5."order" = (case when doomed.model = 2 then doomed.id end)::varchar union all select 6 as model, t6."uid"::text as id from "shop"."Publication" t6 where t6."promotion" = (case when doomed.model = 5 then doomed.id end)::varchar union all select 4 as model, t7."uid"::text as id from "shop"."Price" t7 where t7."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select array_agg(doomed.id) filter (where doomed.model = 1)::text, array_agg(doomed.id) filter (where doomed.model = 0)::text, array_agg(doomed.id) filter (where doomed.model = 2)::text, array_agg(doomed.id) filter (where doomed.model = 5)::text, array_agg(doomed.id) filter (where doomed.model = 3)::text, array_agg(doomed.id) filter (where doomed.model = 6)::text, array_agg(doomed.id) filter (where doomed.model = 4)::text from doomed
-- $1 = r2
-- into r3
-- into r4
-- into r5
-- into r6
-- into r7
-- into r8
-- into r9
select count(*)::text from (select from "shop"."Bp" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r4
select count(*)::text from (select from "shop"."Order" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r5
select count(*)::text from (select from "shop"."Promotion" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r6
select count(*)::text from (select from "shop"."Item" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r7
select count(*)::text from (select from "shop"."Publication" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r8
select count(*)::text from (select from "shop"."Price" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r9
with recursive doomed(model, id) as (select 1, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 0 as model, t1."A"::text as id from "shop"."_CustomerOf" t1 where t1."B" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 2 as model, t2."uid"::text as id from "shop"."Order" t2 where t2."assignedTo" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 5 as model, t3."uid"::text as id from "shop"."Promotion" t3 where t3."assignedTo" = (case when doomed.model = 1 then doomed.id end)::varchar union all select 2 as model, t4."uid"::text as id from "shop"."Order" t4 where t4."issuedTo" = (case when doomed.model = 0 then doomed.id end)::varchar union all select 3 as model, t5."uid"::text as id from "shop"."Item" t5 where t5."order" = (case when doomed.model = 2 then doomed.id end)::varchar union all select 6 as model, t6."uid"::text as id from "shop"."Publication" t6 where t6."promotion" = (case when doomed.model = 5 then doomed.id end)::varchar union all select 4 as model, t7."uid"::text as id from "shop"."Price" t7 where t7."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select 1 from doomed full join (select 1 as model, unnest($2::text[]) as id union all select 0 as model, unnest($3::text[]) as id union all select 2 as model, unnest($4::text[]) as id union all select 5 as model, unnest($5::text[]) as id union all select 3 as model, unnest($6::text[]) as id union all select 6 as model, unnest($7::text[]) as id union all select 4 as model, unnest($8::text[]) as id) going on going.model = doomed.model and going.id = doomed.id where going.id is null or doomed.id is null limit 1
-- $1 = r2, $2 = r3, $3 = r4, $4 = r5, $5 = r6, $6 = r7, $7 = r8, $8 = r9
-- expects no row, or the program is repeated
select 1 where $1::varchar = any($2::varchar[])
-- $1 = 'b', $2 = r4
-- expects no row, or: The write would delete the Bp in whose data it stands; nothing was written. Delete it by a mutation of its own.
select 1 from "shop"."Order" t1 where t1."assignedTo" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r3, $2 = r5
-- expects no row, or: The change you are trying to make would violate the required relation 'UserOrder' between Order and User
select 1 from "shop"."Promotion" t1 where t1."assignedTo" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r3, $2 = r6
-- expects no row, or: The change you are trying to make would violate the required relation 'UserPromo' between Promotion and User
select 1 from "shop"."Order" t1 where t1."issuedTo" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r4, $2 = r5
-- expects no row, or: The change you are trying to make would violate the required relation 'BpOrder' between Bp and Order
select 1 from "shop"."Item" t1 where t1."order" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r5, $2 = r7
-- expects no row, or: The change you are trying to make would violate the required relation 'OrderItem' between Item and Order
select 1 from "shop"."Publication" t1 where t1."promotion" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r6, $2 = r8
-- expects no row, or: The change you are trying to make would violate the required relation 'PromoPublication' between Promotion and Publication
select 1 from "shop"."Price" t1 where t1."item" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r7, $2 = r9
-- expects no row, or: The change you are trying to make would violate the required relation 'ItemPrices' between Item and Price
delete from "shop"."Price" where "uid" = any($1)
-- $1 = r9
delete from "shop"."Publication" where "uid" = any($1)
-- $1 = r8
delete from "shop"."Item" where "uid" = any($1)
-- $1 = r7
delete from "shop"."Promotion" where "uid" = any($1)
-- $1 = r6
delete from "shop"."Order" where "uid" = any($1)
-- $1 = r5
delete from "shop"."Bp" where "uid" = any($1)
-- $1 = r4
delete from "shop"."User" where "uid" = any($1)
-- $1 = r3
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Bp" t1 where t1."uid" = $1) t2)::text
-- $1 = 'b'
-- into r0
