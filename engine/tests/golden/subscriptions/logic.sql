-- key: None
select t1."o", (select row_to_json(t3.*) from (select t1."k" as "mutation") t3)::text from json_to_recordset($1::json) as t1("i" varchar, "k" text, "o" int, "u" json, "p" json, "l" json, "b" boolean[]) cross join lateral (select * from "shop"."Order" t4 where t4."uid" = t1."i" offset 0) t2 where (((t1."b"[1] or (t1."b"[2] and t2."stage" = $2)) and not (exists (select 1 from "shop"."Bp" t5 where t5."uid" = t2."issuedTo" and t5."extUid" = $3 offset 0))))
-- $1 = '[{"o":0,"i":"o1","k":"UPDATED","u":["stage"],"b":[false,true]}]', $2 = 'WON', $3 = 'x'
