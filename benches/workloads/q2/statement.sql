with page as materialized (
  select row_number() over () as n, found.* from (
    select o."uid", o."name", o."stage", o."createdAt", o."issuedTo" from "Order" o
    where o."assignedTo" = (select u."uid" from "User" u where u."extUid" = 'auth0|scale-' || @seller@)
      and o."stage" = 'OPEN'
    order by o."createdAt" desc, o."uid" limit 21) found)
select json_build_object(
  'pageInfo', json_build_object(
    'hasNextPage', (select count(*) > 20 from page),
    'startCursor', (select "uid" from page where n = 1),
    'endCursor', (select "uid" from page where n <= 20 order by n desc limit 1)),
  'edges', (
    select coalesce(json_agg(json_build_object('node', json_build_object(
      'uid', page."uid", 'name', page."name", 'stage', page."stage",
      'createdAt', to_char(page."createdAt", 'YYYY-MM-DD"T"HH24":"MI":"SS.MS"Z"'),
      'issuedTo', (
        select json_build_object('uid', b."uid", 'name1', b."name1", 'lastName1', b."lastName1")
        from "Bp" b where b."uid" = page."issuedTo")
    )) order by n), '[]')
    from page where n <= 20)
)::text;
