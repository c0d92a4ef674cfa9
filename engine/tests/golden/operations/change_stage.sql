-- updateOrder
with written as (update "shop"."Order" t1 set "stage" = $1, "updatedAt" = $2 where t1."uid" = $3 returning t1.*) select (select row_to_json(t1.*) from (select written."uid" as "uid", written."stage" as "stage", to_char(written."updatedAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "updatedAt") t1)::text from written
-- $1 = 'WON', $2 = '2026-11-23T00:00:00.000', $3 = 'order1'
-- into r0
-- expects a row, or: No Node for the model Order with value order1 for uid found.
