select json_build_object(
  'uid', o."uid", 'name', o."name", 'stage', o."stage",
  'createdAt', to_char(o."createdAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
  'updatedAt', to_char(o."updatedAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
  'items', (
    select coalesce(json_agg(json_build_object(
      'uid', i."uid", 'code', i."code", 'quantity', i."quantity"::float8, 'description', i."description",
      'provider', i."provider",
      'pricing', (
        select coalesce(json_agg(json_build_object(
          'uid', p."uid", 'amount', p."amount"::float8, 'currency', p."currency", 'type', p."type"
        ) order by p."uid"), '[]')
        from "Price" p where p."item" = i."uid")
    ) order by i."uid"), '[]')
    from "Item" i where i."order" = o."uid"),
  'issuedTo', (
    select json_build_object('uid', b."uid", 'name1', b."name1", 'lastName1', b."lastName1")
    from "Bp" b where b."uid" = o."issuedTo")
)::text
from "Order" o where o."uid" = 'cscaleo' || @order@;
