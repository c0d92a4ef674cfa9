-- orders
select (select coalesce(json_agg(t2.*), '[]'::json) from (select t1."uid" as "uid" from "shop"."Order" t1 where (not (exists (select 1 from "shop"."User" t3 where t3."uid" = t1."assignedTo" and t3."extUid" = $1)) and not exists (select 1 from "shop"."Item" t4 where t4."order" = t1."uid" and (t4."quantity" > $2) is not true) and not exists (select 1 from "shop"."_OrderPromo" t5 where t5."A" = t1."uid" and exists (select 1 from "shop"."Promotion" t6 where t6."uid" = t5."B")) and t1."uid" = (select t7."order" from "shop"."Item" t7 where t7."uid" = $3)) order by t1."uid" asc) t2)::text
-- $1 = 'auth0|1', $2 = '1', $3 = 'item1'
-- items
select (select coalesce(json_agg(t2.*), '[]'::json) from (select t1."uid" as "uid" from "shop"."Item" t1 where (exists (select 1 from "shop"."Order" t3 where t3."uid" = t1."order" and t3."issuedTo" = (select t4."uid" from "shop"."Bp" t4 where t4."extUid" = $1)) and (t1."code" = any($2)) and true and t1."code" is null) order by t1."uid" asc) t2)::text
-- $1 = 'abc', $2 = '{"a","b"}'
