with changed as (
  update "Order" set "stage" = '@stage@', "updatedAt" = date_trunc('milliseconds', now() at time zone 'UTC')
  where "uid" = 'cscaleo' || @order@ returning *)
select json_build_object(
  'uid', o."uid", 'name', o."name", 'stage', o."stage",
  'createdAt', to_char(o."createdAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
  'updatedAt', to_char(o."updatedAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
  'issuedTo', (select json_build_object('uid', b."uid") from "Bp" b where b."uid" = o."issuedTo"),
  'assignedTo', (select json_build_object('extUid', u."extUid") from "User" u where u."uid" = o."assignedTo")
)::text
from changed o;
