-- createOrder
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) is not true) is not true) for share
-- $1 = 'b1', $2 = 'a', $3 = 'a'
-- expects a row, or: Cannot access this Bp
with row2 as (insert into "shop"."Price" ("uid", "type", "amount", "currency", "createdAt", "updatedAt", "createdBy", "updatedBy", "item") values ($1, $2, $3, $4, $5, $6, $7, $8, $9::varchar) returning *), row1 as (insert into "shop"."Item" ("uid", "quantity", "createdAt", "updatedAt", "createdBy", "updatedBy", "order") values ($10, $11, $12, $13, $14, $15, $16::varchar) returning *), row0 as (insert into "shop"."Order" ("uid", "name", "stage", "createdAt", "updatedAt", "createdBy", "updatedBy", "assignedTo", "issuedTo") values ($17, $18, $19, $20, $21, $22, $23, (select t1."uid" from "shop"."User" t1 where t1."extUid" = $24 for share), (select t2."uid" from "shop"."Bp" t2 where (t2."uid" = $25 and (exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $26)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $27)))) for share)) returning *) select (select row0."assignedTo"::text from row0), (select row0."issuedTo"::text from row0)
-- $1 = 'new3', $2 = 'GENERAL', $3 = '2', $4 = 'MXN', $5 = '2026-11-23T00:00:00.000', $6 = '2026-11-23T00:00:00.000', $7 = 'a', $8 = 'a', $9 = 'new2', $10 = 'new2', $11 = '1', $12 = '2026-11-23T00:00:00.000', $13 = '2026-11-23T00:00:00.000', $14 = 'a', $15 = 'a', $16 = 'new1', $17 = 'new1', $18 = 'o', $19 = 'OPEN', $20 = '2026-11-23T00:00:00.000', $21 = '2026-11-23T00:00:00.000', $22 = 'a', $23 = 'a', $24 = 'a', $25 = 'b1', $26 = 'a', $27 = 'a'
-- expects column 0, or: Cannot access this User; column 1, or: Cannot access this Bp
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'new1'
-- into r0
select 1 from "shop"."Order" t1 where t1."uid" = any($1) and (t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) is not true limit 1
-- $1 = '{"new1"}', $2 = 'a'
-- expects no row, or: Cannot access this Order
-- updateOrder
select set_config('gom.writer', $1, true)
-- $1 = 'a'
with written as (update "shop"."Order" t1 set "name" = $1, "updatedAt" = $2, "updatedBy" = $3 where (t1."uid" = $4 and t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $5)) returning t1.*) select (select row_to_json(t1.*) from (select written."uid" as "uid", written."name" as "name") t1)::text from written
-- $1 = 'n', $2 = '2026-11-23T00:00:00.000', $3 = 'a', $4 = 'o1', $5 = 'a'
-- into r0
-- expects a row, or: Cannot access this Order
-- changeItems
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Order" t1 where (t1."uid" = $1 and t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) for update
-- $1 = 'o1', $2 = 'a'
-- expects a row, or: Cannot access this Order
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'Order', $3 = 'o1'
select t1."uid"::text, array[t1."uid"]::text, case when t1."order" = $1 then t1."uid"::text end from "shop"."Item" t1 where (t1."uid" = $2 and exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $3))) for update
-- $1 = 'o1', $2 = 'i1', $3 = 'a'
-- into r1
-- into r2
-- expects column 0, or: Cannot access this Item; column 2, or: The relation OrderItem has no node for the model Order connected to a Node for the model Item with the value 'i1' for the field 'uid' on your mutation path.
update "shop"."Item" t1 set "quantity" = $1, "updatedAt" = $2, "updatedBy" = $3 where t1."uid" = $4 returning t1."uid"::text
-- $1 = '2', $2 = '2026-11-23T00:00:00.000', $3 = 'a', $4 = 'i1'
select t1."uid"::text, array[t1."uid"]::text, case when t1."order" = $1 then t1."uid"::text end from "shop"."Item" t1 where (t1."uid" = $2 and exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $3))) for update
-- $1 = 'o1', $2 = 'i2', $3 = 'a'
-- into r3
-- into r4
-- expects column 0, or: Cannot access this Item; column 2, or: The relation OrderItem has no node for the model Order with the value 'o1' for the field 'uid' connected to a node for the model Item with the value 'i2' for the field 'uid'
with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select array_agg(doomed.id) filter (where doomed.model = 3)::text, array_agg(doomed.id) filter (where doomed.model = 4)::text from doomed
-- $1 = r4
-- into r5
-- into r6
select count(*)::text from (select from "shop"."Price" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r6
with recursive doomed(model, id) as (select 3, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 4 as model, t1."uid"::text as id from "shop"."Price" t1 where t1."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select 1 from doomed full join (select 3 as model, unnest($2::text[]) as id union all select 4 as model, unnest($3::text[]) as id) going on going.model = doomed.model and going.id = doomed.id where going.id is null or doomed.id is null limit 1
-- $1 = r4, $2 = r5, $3 = r6
-- expects no row, or the program is repeated
select 1 from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = any($1) and (t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) is not true limit 1
-- $1 = r5, $2 = 'a'
-- expects no row, or: Cannot access this Item
select 1 from "shop"."Price" t1 join "shop"."Item" t2 on t2."uid" = t1."item" where t1."uid" = any($1) and (exists (select 1 from "shop"."Order" t3 where t3."uid" = t2."order" and t3."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2))) is not true limit 1
-- $1 = r6, $2 = 'a'
-- expects no row, or: Cannot access this Item
select 1 from "shop"."Price" t1 where t1."uid" = any($1) and (exists (select 1 from "shop"."Item" t2 where t2."uid" = t1."item" and exists (select 1 from "shop"."Order" t3 where t3."uid" = t2."order" and t3."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)))) is not true limit 1
-- $1 = r6, $2 = 'a'
-- expects no row, or: Cannot access this Item
select 1 from "shop"."Price" t1 where t1."item" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r5, $2 = r6
-- expects no row, or: The change you are trying to make would violate the required relation 'ItemPrices' between Item and Price
delete from "shop"."Price" where "uid" = any($1)
-- $1 = r6
delete from "shop"."Item" where "uid" = any($1)
-- $1 = r5
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'o1'
-- into r0
-- keepItems
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Order" t1 where (t1."uid" = $1 and t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) for update
-- $1 = 'o1', $2 = 'a'
-- expects a row, or: Cannot access this Order
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'Order', $3 = 'o1'
select array_agg(t3.id)::text from (select t2."uid" as id from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where ((t1."uid" = any($1)) and exists (select 1 from "shop"."Order" t4 where t4."uid" = t1."order" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $2))) order by t2."uid" for update of t2) t3
-- $1 = '{"i1","i2"}', $2 = 'a'
-- into r1
select t1."uid"::text, array[t1."uid"]::text from "shop"."Item" t1 where (t1."uid" = $1 and ((exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) is not true) is not true) for update
-- $1 = 'i1', $2 = 'a'
-- expects a row, or: Cannot access this Item
select t1."uid"::text, array[t1."uid"]::text from "shop"."Item" t1 where (t1."uid" = $1 and exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) for update
-- $1 = 'i1', $2 = 'a'
-- into r2
-- expects a row, or: Cannot access this Item
select t1."uid"::text, array[t1."uid"]::text from "shop"."Item" t1 where (t1."uid" = $1 and ((exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) is not true) is not true) for update
-- $1 = 'i2', $2 = 'a'
-- expects a row, or: Cannot access this Item
select t1."uid"::text, array[t1."uid"]::text from "shop"."Item" t1 where (t1."uid" = $1 and exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) for update
-- $1 = 'i2', $2 = 'a'
-- into r3
-- expects a row, or: Cannot access this Item
select array_agg(t2.id)::text, count(*)::text from (select t1."uid" as id from "shop"."Item" t1 where t1."order" = $1 and (exists (select 1 from "shop"."Order" t3 where t3."uid" = t1."order" and t3."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) and ((t1."uid" = any($3))) is not true) order by t1."uid" for update) t2
-- $1 = 'o1', $2 = 'a', $3 = '{"i1","i2"}'
-- into r4
select 1 from "shop"."Item" t1 where t1."order" = $1 and exists (select 1 from "shop"."Item" t2 where t2."uid" = t1."uid" and t2."uid" = any($2)) limit 1
-- $1 = 'o1', $2 = r4
-- expects no row, or: The change you are trying to make would violate the required relation 'OrderItem' between Item and Order
update "shop"."Item" t1 set "order" = null, "updatedBy" = $1 where t1."order" = $2 and t1."uid" = any($3)
-- $1 = 'a', $2 = 'o1', $3 = r4
select array_agg(t3.id)::text from (select t2."uid" as id from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = $1 order by t2."uid" for update of t2) t3
-- $1 = 'i1'
-- into r5
select 1 from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = $1 and (t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) is not true limit 1
-- $1 = 'i1', $2 = 'a'
-- expects no row, or: Cannot access this Order
update "shop"."Item" t1 set "order" = $1, "updatedBy" = $2 where t1."uid" = $3 returning t1."uid"::text
-- $1 = 'o1', $2 = 'a', $3 = 'i1'
-- expects column 0, or: Cannot access this Item
select array_agg(t3.id)::text from (select t2."uid" as id from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = $1 order by t2."uid" for update of t2) t3
-- $1 = 'i2'
-- into r6
select 1 from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = $1 and (t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) is not true limit 1
-- $1 = 'i2', $2 = 'a'
-- expects no row, or: Cannot access this Order
update "shop"."Item" t1 set "order" = $1, "updatedBy" = $2 where t1."uid" = $3 returning t1."uid"::text
-- $1 = 'o1', $2 = 'a', $3 = 'i2'
-- expects column 0, or: Cannot access this Item
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'o1'
-- into r0
select 1 from "shop"."Item" t1 where t1."uid" = any($1) and (exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) is not true limit 1
-- $1 = r4, $2 = 'a'
-- expects no row, or: Cannot access this Item
select 1 from "shop"."Item" t1 where t1."uid" = any($1) and (exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) is not true limit 1
-- $1 = '{"i1","i2"}', $2 = 'a'
-- expects no row, or: Cannot access this Item
-- forAnother
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Order" t1 where (t1."uid" = $1 and t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) for update
-- $1 = 'o1', $2 = 'a'
-- expects a row, or: Cannot access this Order
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'Order', $3 = 'o1'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) is not true) is not true) for share
-- $1 = 'b2', $2 = 'a', $3 = 'a'
-- expects a row, or: Cannot access this Bp
select 1 from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = $1 and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3)))) is not true limit 1
-- $1 = 'o1', $2 = 'a', $3 = 'a'
-- expects no row, or: Cannot access this Bp
select array_agg(t2."uid")::text from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = $1 and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t7 where t7."A" = t2."uid" and t7."B" = (select t8."uid" from "shop"."User" t8 where t8."extUid" = $4)))
-- $1 = 'o1', $2 = 'a', $3 = 'a', $4 = 'a'
-- into r1
update "shop"."Order" set "issuedTo" = (select t1."uid" from "shop"."Bp" t1 where (t1."uid" = $1 and (exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) for share), "updatedBy" = $4 where "uid" = $5 returning "issuedTo"::text
-- $1 = 'b2', $2 = 'a', $3 = 'a', $4 = 'a', $5 = 'o1'
-- expects column 0, or: Cannot access this Bp
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'o1'
-- into r0
select 1 from "shop"."Bp" t1 where t1."uid" = any($1) and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4)))) is not true limit 1
-- $1 = r1, $2 = 'a', $3 = 'a', $4 = 'a'
-- expects no row, or: Cannot access this Bp
