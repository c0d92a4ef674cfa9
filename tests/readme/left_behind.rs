//! What Prisma 1 and the shop's earlier server leave behind: the database, and the Redis with its layout.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use gom_test_support::TestRedis;
use redis::Commands;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::visitor::Visitor;

pub const CUSTOMER: &str = "ck000000000000000customer";
pub const CODE: &str = "a1B2c3D4e5";
pub const PHONE: &str = "5533333333";
pub const SELLER: &str = "auth0|1";
pub const SELLERS_ROW: &str = "ck0000000000000000seller1";
pub const ORDER: &str = "ck00000000000000000order1";
/// An order whose customer and seller were deleted.
pub const WITHOUT_PARTNERS: &str = "ck00000000000000000order2";
pub const PROMOTION: &str = "ck00000000000000000promo1";
/// Publications that wait: the time of one has passed, of one is to come, of one was days ago.
pub const DUE: &str = "ck0000000000000000pub1due";
pub const LATER: &str = "ck00000000000000pub2later";
pub const LONG_AGO: &str = "ck0000000000000000pub3old";

/// Whose devices the earlier server kept, by the user's name at that server, and the path of the device at the push service.
pub const DEVICES: [(&str, &str); 2] = [(SELLER, "/of-the-seller"), (CUSTOMER, "/of-the-customer")];
pub const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
pub const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
pub const PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";

/// Prisma's own schema, a list, and what waits.
const MORE: &str = r#"
CREATE SCHEMA "management";
CREATE TABLE "management"."Project" (
  "id" varchar(200) NOT NULL PRIMARY KEY, "secrets" text NOT NULL, "allowQueries" boolean NOT NULL DEFAULT true
);
CREATE TABLE "management"."Migration" (
  "projectId" varchar(200) NOT NULL REFERENCES "management"."Project" ("id") ON DELETE CASCADE,
  "revision" int NOT NULL, "schema" text, "status" varchar(20) NOT NULL, PRIMARY KEY ("projectId", "revision")
);
INSERT INTO "management"."Project" VALUES ('default$default', '[]');
INSERT INTO "management"."Migration" VALUES ('default$default', 1, '{}', 'SUCCESS');

SET search_path TO "default$default";
CREATE TABLE "Promotion_tags" (
  "nodeId" varchar(25) NOT NULL REFERENCES "Promotion" ("uid"),
  "position" int NOT NULL, "value" text NOT NULL, PRIMARY KEY ("nodeId", "position")
);
INSERT INTO "Promotion_tags" VALUES
  ('ck00000000000000000promo1', 1000, 'dulce'), ('ck00000000000000000promo1', 2000, 'frío');
INSERT INTO "Publication" ("uid", "type", "status", "delay", "promotion", "publishAt", "createdAt", "updatedAt", "createdBy")
  SELECT uid, 'NOTIFICATION', 'WAITING', 3600000, 'ck00000000000000000promo1', at, at - interval '1 hour', at - interval '1 hour', 'auth0|1'
  FROM (VALUES ('ck0000000000000000pub1due', interval '-1 hour'), ('ck00000000000000pub2later', interval '2 hours'),
    ('ck0000000000000000pub3old', interval '-3 days')) AS waiting (uid, apart)
  CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE 'UTC' + apart)::timestamp(3) AS at) AS times;
RESET search_path;
"#;

/// The database as the last deployment of Prisma's has made it, with rows, in the schema of its service and stage, which the
/// connection looks at from now on.
pub async fn leave_database(tables: &Client, schema: &str) {
    for script in [include_str!("../fixtures/prisma1.sql"), MORE] {
        tables
            .batch_execute(&script.replace("default$default", schema))
            .await
            .unwrap();
    }
    tables
        .execute(
            "SELECT set_config('search_path', format('%I', $1::text), false)",
            &[&schema],
        )
        .await
        .unwrap();
}

/// The shop's datamodel, as it was deployed: with a list.
pub fn datamodel() -> String {
    let shop = include_str!("../../config/datamodel.prisma");
    let listed = shop.replace(
        "  content: String\n",
        "  content: String\n  tags: [String!] @scalarList(strategy: RELATION)\n",
    );
    assert_ne!(listed, shop);
    listed
}

/// An order that somebody places while Prisma serves.
pub async fn order_by_prisma(tables: &Client, uid: &str) {
    let insert = r#"INSERT INTO "Order" ("uid", "name", "stage", "issuedTo", "assignedTo", "createdAt", "updatedAt")
        VALUES ($1, 'Entretanto', 'OPEN', 'ck000000000000000customer', 'ck0000000000000000seller1', now(), now())"#;
    tables.execute(insert, &[&uid]).await.unwrap();
    let insert = r#"INSERT INTO "_OrderPromo" ("A", "B") VALUES ($1, 'ck00000000000000000promo1')"#;
    tables.execute(insert, &[&uid]).await.unwrap();
}

/// Every column, key, index, trigger and row of Prisma's schemas, a line each.
pub async fn everything(tables: &Client) -> BTreeSet<String> {
    const SCHEMA: &str = "WITH of AS (SELECT oid, nspname FROM pg_namespace WHERE nspname IN (current_schema(), 'management'))
        SELECT concat_ws(' ', 'column', table_name, column_name, data_type, character_maximum_length, datetime_precision, is_nullable, column_default)
          FROM information_schema.columns WHERE table_schema IN (SELECT nspname FROM of)
        UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, pg_get_constraintdef(c.oid)) FROM pg_constraint c JOIN of ON of.oid = connamespace
        UNION ALL SELECT concat_ws(' ', 'index', indexdef) FROM pg_indexes WHERE schemaname IN (SELECT nspname FROM of)
        UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname) FROM pg_trigger t JOIN pg_class r ON r.oid = tgrelid
          JOIN of ON of.oid = relnamespace WHERE NOT tgisinternal";
    let mut all: BTreeSet<String> = tables
        .query(SCHEMA, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let names = "SELECT format('%I.%I', schemaname, tablename), tablename::text FROM pg_tables WHERE schemaname IN (current_schema(), 'management')";
    for table in tables.query(names, &[]).await.unwrap() {
        let (quoted, name): (String, String) = (table.get(0), table.get(1));
        let rows = tables
            .query(&format!("SELECT to_jsonb(t)::text FROM {quoted} t"), &[])
            .await
            .unwrap();
        all.extend(
            rows.iter()
                .map(|row| format!("row {name} {}", row.get::<_, String>(0))),
        );
    }
    assert!(all.len() > 100, "{all:?}");
    all
}

/// A connection to one of the earlier server's databases in Redis.
fn connect(redis: &TestRedis, database: u8) -> redis::Connection {
    let url = format!("redis://127.0.0.1:{}/{database}", redis.port());
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// All that the earlier server keeps in Redis, but for sessions. `endpoints`: of [`DEVICES`].
pub fn leave_redis(redis: &TestRedis, endpoints: [String; 2]) {
    let mut devices = connect(redis, 1);
    for ((user, _), endpoint) in DEVICES.into_iter().zip(endpoints) {
        let fields = [
            ("endpoint", endpoint.as_str()),
            ("expirationTime", "null"),
            ("p256dh", P256DH),
            ("auth", AUTH),
        ];
        devices
            .hset_multiple::<_, _, _, ()>(format!("sub:{endpoint}"), &fields)
            .unwrap();
        devices
            .sadd::<_, _, ()>(format!("user:{user}:subs"), endpoint)
            .unwrap();
    }

    let mut limits = connect(redis, 3);
    for key in [
        "login_slow_brute_:127.0.0.1",
        "login_consecutive_fails_:a1B2c3D4e5_127.0.0.1",
    ] {
        limits.set_ex::<_, _, ()>(key, 51, 24 * 60 * 60).unwrap();
    }

    let mut queues = connect(redis, 4);
    queues.set::<_, _, ()>("bull:orders:id", 2).unwrap();
    for (id, queue) in [("1", "wait"), ("2", "wait")] {
        let data = json!({ "order": ORDER, "operation": "create" }).to_string();
        let fields = [
            ("name", "created"),
            ("data", &data),
            ("opts", "{}"),
            ("timestamp", "1570100400000"),
        ];
        queues
            .hset_multiple::<_, _, _, ()>(format!("bull:orders:{id}"), &fields)
            .unwrap();
        queues
            .lpush::<_, _, ()>(format!("bull:orders:{queue}"), id)
            .unwrap();
    }
    queues
        .zadd::<_, _, _, ()>("bull:publications:delayed", "1", 1_570_100_400_000_u64)
        .unwrap();
}

/// How many devices the earlier server finds of a user.
pub fn devices_of(redis: &TestRedis, user: &str) -> usize {
    connect(redis, 1)
        .scard(format!("user:{user}:subs"))
        .unwrap()
}

/// A customer who is logged in at the earlier server, whose `APP_KEY` this is.
pub fn leave_session(redis: &TestRedis, key: &str, name: &str) -> Visitor {
    let sign = |text: &str| {
        hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()),
            text.as_bytes(),
        )
    };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}",
        part(json!({ "alg": "HS256", "typ": "JWT" })),
        part(json!({
            "sub": CUSTOMER, "eid": CODE, "gty": "phone", "seller": SELLER, "business": "Flanes",
            "permissions": ["create:order", "read:order", "read:orders", "role:customer", "update:order", "subscribe:order"],
            "iat": 1_570_100_400, "exp": 4_000_000_000_u64, "aud": "https://gql.gom.com", "iss": "https://auth.gom.com",
        })),
    );
    let id = format!("{name:A<32}");
    let session = json!({
        "cookie": { "originalMaxAge": 5_184_000_000_u64, "expires": "2099-01-01T00:00:00.000Z", "httpOnly": true, "path": "/" },
        "csrfSecret": "Zm9yIHRoZSBjc3JmIHRva2Vu",
        "access_token_sign": URL_SAFE_NO_PAD.encode(sign(&token)),
    });
    let mut sessions = connect(redis, 2);
    sessions
        .set_ex::<_, _, ()>(format!("sess:{id}"), session.to_string(), 60 * 24 * 60 * 60)
        .unwrap();
    let signed = format!("s:{id}.{}", STANDARD_NO_PAD.encode(sign(&id)));
    let encoded = signed
        .replace(':', "%3A")
        .replace('+', "%2B")
        .replace('/', "%2F");
    Visitor::with([
        ("session-id", encoded.as_str()),
        ("session-token", token.as_str()),
        ("csrf-token", "aB3dE6gH-c2lnbmF0dXJlIG9mIGNzdXJm"),
    ])
}

/// What the earlier server has left in databases 2 to 4, as it stands.
pub fn kept(redis: &TestRedis, names: &BTreeSet<String>) -> Vec<Option<Vec<u8>>> {
    let mut kept = Vec::new();
    for name in names {
        let (database, key) = name.split_once(' ').unwrap();
        let dump = redis::cmd("DUMP")
            .arg(key)
            .query(&mut connect(redis, database.parse().unwrap()));
        kept.push(dump.unwrap());
    }
    kept
}

/// The names of all that stands there, each after its database.
pub fn names(redis: &TestRedis) -> BTreeSet<String> {
    let of = |database: u8| {
        let keys: Vec<String> = connect(redis, database).keys("*").unwrap();
        keys.into_iter().map(move |key| format!("{database} {key}"))
    };
    (2..=4).flat_map(of).collect()
}

/// A token as Prisma's client libraries sign it.
pub fn service_token(secret: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({ "alg": "HS256", "typ": "JWT" })),
        part(json!({ "iat": std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() }))
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
    )
}
