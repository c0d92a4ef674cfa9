-- bps
select (select coalesce(json_agg(t2.*), '[]'::json) from (select t1."uid" as "uid", t1."name1" as "name1" from "shop"."Bp" t1 where (exists (select 1 from "shop"."_CustomerOf" t3 where t3."A" = t1."uid" and t3."B" = (select t4."uid" from "shop"."User" t4 where t4."extUid" = $1)) and (t1."name1" like $2 or t1."lastName1" like $3)) order by t1."uid" asc limit 20) t2)::text
-- $1 = 'auth0|1', $2 = '%50\%\_a%', $3 = '50\%\_a%'
