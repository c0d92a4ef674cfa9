-- updateBp
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) is not true) is not true and ((exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4))) is not true) is not true) for update
-- $1 = 'b1', $2 = 'a', $3 = 'a', $4 = 'a'
-- expects a row, or: Cannot access this Bp
with written as (update "shop"."Bp" t1 set "name1" = $1, "updatedAt" = $2, "updatedBy" = $3 where (t1."uid" = $4 and (exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $5)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $6))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $7))) returning t1.*) select (select row_to_json(t1.*) from (select written."uid" as "uid", written."name1" as "name1") t1)::text from written
-- $1 = 'n', $2 = '2026-11-23T00:00:00.000', $3 = 'a', $4 = 'b1', $5 = 'a', $6 = 'a', $7 = 'a'
-- into r0
-- expects a row, or: Cannot access this Bp
-- giveOrder
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) is not true) is not true and ((exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4))) is not true) is not true) for update
-- $1 = 'b1', $2 = 'a', $3 = 'a', $4 = 'a'
-- expects a row, or: Cannot access this Bp
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4))) for update
-- $1 = 'b1', $2 = 'a', $3 = 'a', $4 = 'a'
-- expects a row, or: Cannot access this Bp
insert into gom.change (schema_name, table_name, kind, node) values ($1, $2, 'T', $3)
-- $1 = 'shop', $2 = 'Bp', $3 = 'b1'
select array_agg(t3.id)::text from (select t2."uid" as id from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where ((t1."uid" = any($1)) and t1."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) order by t2."uid" for update of t2) t3
-- $1 = '{"o1"}', $2 = 'a'
-- into r1
select t1."uid"::text, array[t1."uid"]::text from "shop"."Order" t1 where (t1."uid" = $1 and t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) for update
-- $1 = 'o1', $2 = 'a'
-- into r2
-- expects a row, or: Cannot access this Order
select array_agg(t3.id)::text from (select t2."uid" as id from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = $1 order by t2."uid" for update of t2) t3
-- $1 = 'o1'
-- into r3
select 1 from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = $1 and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3)))) is not true limit 1
-- $1 = 'o1', $2 = 'a', $3 = 'a'
-- expects no row, or: Cannot access this Bp
select array_agg(t2."uid")::text from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = $1 and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t7 where t7."A" = t2."uid" and t7."B" = (select t8."uid" from "shop"."User" t8 where t8."extUid" = $4)))
-- $1 = 'o1', $2 = 'a', $3 = 'a', $4 = 'a'
-- into r4
update "shop"."Order" t1 set "issuedTo" = $1, "updatedBy" = $2 where t1."uid" = $3 returning t1."uid"::text
-- $1 = 'b1', $2 = 'a', $3 = 'o1'
-- expects column 0, or: Cannot access this Order
select (select row_to_json(t2.*) from (select t1."uid" as "uid" from "shop"."Bp" t1 where t1."uid" = $1) t2)::text
-- $1 = 'b1'
-- into r0
select 1 from "shop"."Bp" t1 where t1."uid" = any($1) and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4)))) is not true limit 1
-- $1 = r4, $2 = 'a', $3 = 'a', $4 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Bp" t1 where t1."uid" = any($1) and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4)))) is not true limit 1
-- $1 = '{"b1"}', $2 = 'a', $3 = 'a', $4 = 'a'
-- expects no row, or: Cannot access this Bp
-- deleteBp
select set_config('gom.writer', $1, true)
-- $1 = 'a'
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3)))) is not true) is not true and ((exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4))) is not true) is not true) for update
-- $1 = 'b1', $2 = 'a', $3 = 'a', $4 = 'a'
-- expects a row, or: Cannot access this Bp
select t1."uid"::text, array[t1."uid"]::text from "shop"."Bp" t1 where (t1."uid" = $1 and (exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4))) for update
-- $1 = 'b1', $2 = 'a', $3 = 'a', $4 = 'a'
-- into r1
-- into r2
-- expects a row, or: Cannot access this Bp
select row_to_json(t2.*)::text from (select t1.* from "shop"."Bp" t1 where t1."uid" = $1) t2
-- $1 = r1
-- into r3
with recursive doomed(model, id) as (select 0, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 2 as model, t1."uid"::text as id from "shop"."Order" t1 where t1."issuedTo" = (case when doomed.model = 0 then doomed.id end)::varchar union all select 3 as model, t2."uid"::text as id from "shop"."Item" t2 where t2."order" = (case when doomed.model = 2 then doomed.id end)::varchar union all select 4 as model, t3."uid"::text as id from "shop"."Price" t3 where t3."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select array_agg(doomed.id) filter (where doomed.model = 0)::text, array_agg(doomed.id) filter (where doomed.model = 2)::text, array_agg(doomed.id) filter (where doomed.model = 3)::text, array_agg(doomed.id) filter (where doomed.model = 4)::text from doomed
-- $1 = r2
-- into r4
-- into r5
-- into r6
-- into r7
select count(*)::text from (select from "shop"."Order" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r5
select count(*)::text from (select from "shop"."Item" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r6
select count(*)::text from (select from "shop"."Price" t1 where t1."uid" = any($1) order by t1."uid" for update) t2
-- $1 = r7
with recursive doomed(model, id) as (select 0, root.id::text from unnest($1::varchar[]) root(id) union select partner.model, partner.id from doomed cross join lateral (select 2 as model, t1."uid"::text as id from "shop"."Order" t1 where t1."issuedTo" = (case when doomed.model = 0 then doomed.id end)::varchar union all select 3 as model, t2."uid"::text as id from "shop"."Item" t2 where t2."order" = (case when doomed.model = 2 then doomed.id end)::varchar union all select 4 as model, t3."uid"::text as id from "shop"."Price" t3 where t3."item" = (case when doomed.model = 3 then doomed.id end)::varchar) partner) select 1 from doomed full join (select 0 as model, unnest($2::text[]) as id union all select 2 as model, unnest($3::text[]) as id union all select 3 as model, unnest($4::text[]) as id union all select 4 as model, unnest($5::text[]) as id) going on going.model = doomed.model and going.id = doomed.id where going.id is null or doomed.id is null limit 1
-- $1 = r2, $2 = r4, $3 = r5, $4 = r6, $5 = r7
-- expects no row, or the program is repeated
select 1 from "shop"."Bp" t1 join "shop"."_CustomerOf" t3 on t3."A" = t1."uid" join "shop"."User" t2 on t2."uid" = t3."B" where t1."uid" = any($1) and (t2."extUid" = $2) is not true limit 1
-- $1 = r4, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = any($1) and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3)))) is not true limit 1
-- $1 = r5, $2 = 'a', $3 = 'a'
-- expects no row, or: Cannot access this Bp
select array_agg(t2."uid")::text from "shop"."Order" t1 join "shop"."Bp" t2 on t2."uid" = t1."issuedTo" where t1."uid" = any($1) and ((exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t2."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)) or exists (select 1 from "shop"."Order" t5 where t5."issuedTo" = t2."uid" and t5."assignedTo" = (select t6."uid" from "shop"."User" t6 where t6."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t7 where t7."A" = t2."uid" and t7."B" = (select t8."uid" from "shop"."User" t8 where t8."extUid" = $4)))
-- $1 = r5, $2 = 'a', $3 = 'a', $4 = 'a'
-- into r8
select 1 from "shop"."Order" t1 join "shop"."User" t2 on t2."uid" = t1."assignedTo" where t1."uid" = any($1) and (t2."extUid" = $2) is not true limit 1
-- $1 = r5, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Order" t1 join "shop"."_OrderPromo" t3 on t3."A" = t1."uid" join "shop"."Promotion" t2 on t2."uid" = t3."B" where t1."uid" = any($1) and (false) is not true limit 1
-- $1 = r5
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Item" t1 join "shop"."Order" t2 on t2."uid" = t1."order" where t1."uid" = any($1) and (t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) is not true limit 1
-- $1 = r6, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Price" t1 join "shop"."Item" t2 on t2."uid" = t1."item" where t1."uid" = any($1) and (exists (select 1 from "shop"."Order" t3 where t3."uid" = t2."order" and t3."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2))) is not true limit 1
-- $1 = r7, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Bp" t1 where t1."uid" = any($1) and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4)))) is not true limit 1
-- $1 = r4, $2 = 'a', $3 = 'a', $4 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Order" t1 where t1."uid" = any($1) and (t1."assignedTo" = (select t2."uid" from "shop"."User" t2 where t2."extUid" = $2)) is not true limit 1
-- $1 = r5, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Item" t1 where t1."uid" = any($1) and (exists (select 1 from "shop"."Order" t2 where t2."uid" = t1."order" and t2."assignedTo" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2))) is not true limit 1
-- $1 = r6, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Price" t1 where t1."uid" = any($1) and (exists (select 1 from "shop"."Item" t2 where t2."uid" = t1."item" and exists (select 1 from "shop"."Order" t3 where t3."uid" = t2."order" and t3."assignedTo" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $2)))) is not true limit 1
-- $1 = r7, $2 = 'a'
-- expects no row, or: Cannot access this Bp
select 1 from "shop"."Order" t1 where t1."issuedTo" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r4, $2 = r5
-- expects no row, or: The change you are trying to make would violate the required relation 'BpOrder' between Bp and Order
select 1 from "shop"."Item" t1 where t1."order" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r5, $2 = r6
-- expects no row, or: The change you are trying to make would violate the required relation 'OrderItem' between Item and Order
select 1 from "shop"."Price" t1 where t1."item" = any($1) and t1."uid" not in (select unnest($2::varchar[])) limit 1
-- $1 = r6, $2 = r7
-- expects no row, or: The change you are trying to make would violate the required relation 'ItemPrices' between Item and Price
delete from "shop"."Price" where "uid" = any($1)
-- $1 = r7
delete from "shop"."Item" where "uid" = any($1)
-- $1 = r6
delete from "shop"."Order" where "uid" = any($1)
-- $1 = r5
delete from "shop"."Bp" where "uid" = any($1)
-- $1 = r4
select row_to_json(t2.*)::text from (select t1."uid" as "uid" from json_populate_record(null::"shop"."Bp", $1::json) t1) t2
-- $1 = r3
-- into r0
select 1 from "shop"."Bp" t1 where t1."uid" = any($1) and (((exists (select 1 from "shop"."_CustomerOf" t2 where t2."A" = t1."uid" and t2."B" = (select t3."uid" from "shop"."User" t3 where t3."extUid" = $2)) or exists (select 1 from "shop"."Order" t4 where t4."issuedTo" = t1."uid" and t4."assignedTo" = (select t5."uid" from "shop"."User" t5 where t5."extUid" = $3))) and exists (select 1 from "shop"."_CustomerOf" t6 where t6."A" = t1."uid" and t6."B" = (select t7."uid" from "shop"."User" t7 where t7."extUid" = $4)))) is not true limit 1
-- $1 = r8, $2 = 'a', $3 = 'a', $4 = 'a'
-- expects no row, or: Cannot access this Bp
