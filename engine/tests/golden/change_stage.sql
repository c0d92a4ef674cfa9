-- updateOrder
update "shop"."Order" t1 set "stage" = $1, "updatedAt" = $2 where t1."uid" = $3 returning t1."uid"::text
-- $1 = 'WON', $2 = '2026-11-23T00:00:00.000', $3 = 'order1'
-- expects a row, or: No Node for the model Order with value order1 for uid found.
select (select row_to_json(t2) from (select t1."uid" as "uid", t1."stage" as "stage", to_char(t1."updatedAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "updatedAt" from "shop"."Order" t1 where t1."uid" = $1) t2)::text
-- $1 = 'order1'
-- into r0
