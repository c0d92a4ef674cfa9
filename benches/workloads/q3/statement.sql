select coalesce(json_agg(found order by found."uid"), '[]')::text from (
  select b."uid", b."extUid", b."name1", b."lastName1", b."phone", b."email"
  from "_CustomerOf" c join "Bp" b on b."uid" = c."A"
  where c."B" = (select u."uid" from "User" u where u."extUid" = 'auth0|scale-' || @seller@)
    and b."name1" like '%@term@%'
  order by b."uid" limit 20) found;
