with made as materialized (
  select 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24) as "order",
         'c' || left(replace(gen_random_uuid()::text, '-', ''), 24) as item1,
         'c' || left(replace(gen_random_uuid()::text, '-', ''), 24) as item2,
         date_trunc('milliseconds', now() at time zone 'UTC') as at),
"order" as (
  insert into "Order" ("uid", "name", "stage", "createdAt", "updatedAt", "assignedTo", "issuedTo")
  select made."order", 'Pedido ' || @order@, 'OPEN', made.at, made.at,
         (select "uid" from "User" where "extUid" = 'auth0|scale-' || @seller@),
         (select "uid" from "Bp" where "uid" = 'cscaleb' || @customer@)
  from made returning *),
item as (
  insert into "Item" ("uid", "quantity", "description", "createdAt", "updatedAt", "order")
  select one."uid", one.quantity, one.description, made.at, made.at, made."order"
  from made, lateral (values (made.item1, 2, 'Flan'), (made.item2, 1, 'Pastel')) one ("uid", quantity, description)),
price as (
  insert into "Price" ("uid", "type", "amount", "currency", "createdAt", "updatedAt", "item")
  select 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24), 'GENERAL', one.amount, 'MXN', made.at, made.at,
         one.item
  from made, lateral (values (made.item1, 15.5), (made.item2, 240)) one (item, amount))
select json_build_object(
  'uid', o."uid", 'name', o."name", 'stage', o."stage",
  'createdAt', to_char(o."createdAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
  'issuedTo', (
    select json_build_object('uid', b."uid", 'name1', b."name1", 'lastName1', b."lastName1")
    from "Bp" b where b."uid" = o."issuedTo"),
  'assignedTo', (select json_build_object('extUid', u."extUid") from "User" u where u."uid" = o."assignedTo")
)::text
from "order" o;
