-- createOrder
insert into "shop"."Order" ("uid", "name", "stage", "createdAt", "updatedAt", "assignedTo", "issuedTo") values ($1, $2, $3, $4, $5, (select "uid" from "shop"."User" where "extUid" = $6), (select "uid" from "shop"."Bp" where "uid" = $7)) returning "uid"::text, "assignedTo"::text, "issuedTo"::text
-- $1 = 'new1', $2 = 'Flan', $3 = 'OPEN', $4 = '2026-11-23T00:00:00.000', $5 = '2026-11-23T00:00:00.000', $6 = 'auth0|1', $7 = 'bp1'
-- expects column 1, or: No Node for the model User with value auth0|1 for extUid found.; column 2, or: No Node for the model Bp with value bp1 for uid found.
insert into "shop"."Item" ("uid", "quantity", "createdAt", "updatedAt", "order") values ($1, $2, $3, $4, $5::varchar) returning "uid"::text, "order"::text
-- $1 = 'new2', $2 = '2', $3 = '2026-11-23T00:00:00.000', $4 = '2026-11-23T00:00:00.000', $5 = 'new1'
insert into "shop"."Price" ("uid", "type", "amount", "currency", "createdAt", "updatedAt", "item") values ($1, $2, $3, $4, $5, $6, $7::varchar) returning "uid"::text, "item"::text
-- $1 = 'new3', $2 = 'GENERAL', $3 = '10.5', $4 = 'MXN', $5 = '2026-11-23T00:00:00.000', $6 = '2026-11-23T00:00:00.000', $7 = 'new2'
select (select row_to_json(t2) from (select t1."uid" as "uid", t1."stage" as "stage", (select coalesce(json_agg(t4), '[]'::json) from (select t3."uid" as "uid" from "shop"."Item" t3 where t3."order" = t1."uid" order by t3."uid" asc) t4) as "items" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'new1'
-- into r0
