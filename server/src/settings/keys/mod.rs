//! Every key there is: the one table that reading, checking, `gom config` and `docs/CONFIGURATION.md` follow.

mod limits;
mod live;
mod logins;
mod metrics;
mod push;

use super::kind::Kind;
use super::table::Key;

const COUNT: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000_000,
};
const SIZE: Kind = Kind::Bytes {
    min: 1_024,
    max: 1_073_741_824,
};
const TIME: Kind = Kind::Milliseconds {
    min: 1,
    max: 3_600_000,
};
/// From a second to 400 days, which is the longest that browsers keep a cookie.
const LIFETIME: Kind = Kind::Milliseconds {
    min: 1_000,
    max: 34_560_000_000,
};
const SECONDS: Kind = Kind::Seconds {
    min: 1,
    max: 31_536_000,
};
const SAME_SITE: Kind = Kind::Choice(&["strict", "lax", "none"]);

/// Every key, in the order in which they are shown.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let first = GENERAL
        .iter()
        .chain(limits::KEYS)
        .chain(CACHE)
        .chain(live::KEYS);
    first
        .chain(REST)
        .chain(logins::KEYS)
        .chain(push::KEYS)
        .chain(metrics::KEYS)
}

static GENERAL: &[Key] = &[
    Key::new("server.host", Kind::Text, Some("127.0.0.1"), "Address or host name that the server listens on."),
    Key::new(
        "server.port",
        Kind::Integer { min: 0, max: 65_535 },
        Some("3000"),
        "Port that the server listens on; 0 takes any free one, which is printed.",
    ),
    Key::new(
        "server.workers",
        Kind::Integer { min: 0, max: 1_024 },
        Some("0"),
        "Worker threads; 0 means one for each core.",
    ),
    Key::new(
        "server.role",
        Kind::Choice(&["all", "api", "worker"]),
        Some("all"),
        "What this process does: `api` answers requests and holds sockets, `worker` sends push messages, `all` does both.",
    ),
    Key::new(
        "server.shutdown_timeout",
        TIME,
        Some("10000"),
        "How long requests and push messages in hand may take to finish once the server stops; it has ended by then.",
    ),
    Key::new(
        "server.drain_delay",
        Kind::Milliseconds { min: 0, max: 3_600_000 },
        Some("0"),
        "How long the server takes requests after it was told to stop, with `/readyz` answering 503: so that a proxy sends no more before it stops.",
    ),
    Key::new(
        "server.send_timeout",
        TIME,
        Some("30000"),
        "A client that takes nothing of its answer for so long is cut off (answers of more than 32 KiB).",
    ),
    Key::new(
        "server.request_bytes",
        SIZE,
        Some("268435456"),
        "Size of the requests of all users that the process holds (see `limits.request_bytes`); beyond it, the next is refused with 503.",
    ),
    Key::new(
        "server.waiting_bytes",
        SIZE,
        Some("536870912"),
        "What waits for all clients of the process to read it; when there is more, connections are cut off for others, the greatest first of the user for whom the most waits. That user's requests get 503.",
    ),
    Key::new(
        "server.trusted_proxies",
        Kind::Networks,
        None,
        "Proxies whose `X-Forwarded-For`, `X-Forwarded-Host` and `traceparent` are believed. Unset: nobody's.",
    ),
    Key::new(
        "server.origins",
        Kind::Origins,
        None,
        "Origins, beside the server's own, whose pages may send requests with cookies and read the answers (CORS); `https://*.shop.example` is every name below it.",
    ),
    Key::new(
        "server.cookie_prefix",
        Kind::Name,
        None,
        "Stands before the name of each cookie (`shop-` makes `shop-session-id`): browsers keep cookies by host, not by port, so two servers on one host need different names. Pages read `csrf-token` and `session-token` under that name; the built-in GraphiQL does not, and needs a pasted token.",
    ),
    Key::new(
        "server.welcome",
        Kind::Flag,
        Some("true"),
        "Tell at `/` the version, and where to go on; else the name and the state only.",
    ),
    Key::new(
        "server.openapi",
        Kind::Flag,
        Some("true"),
        "Describe the server at `/openapi` and `/openapi.json`. Off in production.",
    ),
    Key::new(
        "database.url",
        Kind::DatabaseUrl,
        None,
        "The PostgreSQL database. Unset: the server runs a private one (see `embedded`).",
    )
    .variables(&["DATABASE_URL"]),
    Key::new(
        "database.password",
        Kind::Secret,
        None,
        "The password that goes with `database.url`, for a URL that has none: so that the secret can come from a file.",
    )
    .variables(&["PG_PASSWORD"]),
    Key::new(
        "database.schema",
        Kind::Text,
        Some("default$default"),
        "PostgreSQL schema of the models' tables; the default is what Prisma 1 named it.",
    ),
    Key::new(
        "database.max_connections",
        Kind::Integer { min: 2, max: 10_000 },
        Some("64"),
        "Connections for requests, of the whole process; the workers share them equally.",
    ),
    Key::new(
        "database.read_connections",
        Kind::Integer { min: 1, max: 64 },
        Some("2"),
        "Pipelined connections for reads, for each worker thread.",
    ),
    Key::new(
        "database.write_connections",
        Kind::Integer { min: 1, max: 1_000 },
        Some("8"),
        "Connections for transactions and for long reads, for each worker thread.",
    ),
    Key::new(
        "database.max_in_hand",
        COUNT,
        Some("4096"),
        "Requests of one worker thread that may be in flight at once; the next is refused as overload.",
    ),
    Key::new(
        "database.max_waiting",
        COUNT,
        Some("1024"),
        "Requests of one worker thread that may wait for a connection; the next is refused as overload.",
    ),
    Key::new(
        "database.statement_cache",
        Kind::Integer { min: 1, max: 10_000 },
        Some("256"),
        "Prepared statements kept on each connection.",
    ),
    Key::new(
        "database.statement_cache_bytes",
        SIZE,
        Some("262144"),
        "Bytes of SQL of the prepared statements kept on each connection; in PostgreSQL each takes up to two hundred times as much.",
    ),
    Key::new(
        "database.statement_bytes",
        SIZE,
        Some("8192"),
        "A statement with more bytes of SQL is not kept, but parsed and planned at each use; neither is one above a quarter of `database.statement_cache_bytes`.",
    ),
    Key::new(
        "database.retries",
        Kind::Integer { min: 0, max: 100 },
        Some("5"),
        "How often a write is repeated after a deadlock or a serialization failure.",
    ),
    Key::new(
        "database.statement_timeout",
        TIME,
        Some("5000"),
        "PostgreSQL stops a statement that runs longer.",
    ),
    Key::new(
        "database.connect_timeout",
        TIME,
        Some("1000"),
        "An attempt to connect that takes longer has failed.",
    ),
    Key::new(
        "database.deploy",
        Kind::Flag,
        None,
        "Bring the database to the datamodel before serving. Unset: only a private database.",
    ),
    Key::new(
        "embedded.data_dir",
        Kind::Path,
        Some(".gom"),
        "Folder of the private PostgreSQL and of what the server keeps beside it.",
    ),
    Key::new(
        "embedded.programs",
        Kind::Path,
        None,
        "Folder with PostgreSQL's programs (`initdb`, `postgres`). Unset: they are looked for.",
    ),
    Key::new(
        "embedded.demo",
        Kind::Flag,
        Some("true"),
        "Fill the private database with the application's demo while it has no rows and the built-in datamodel is served.",
    ),
    Key::new(
        "service.secret",
        Kind::Secret,
        None,
        "Signs and checks service tokens (HS256). Needed with `database.url`; the private database's is made at first start and kept beside it. A weak one (known, fewer than 8 different characters, or shorter than 32) is refused outside development, and in development where the keys of cookies are derived from it.",
    )
    .variables(&["PRISMA_SECRET"])
    .alias("prisma.secret"),
    Key::new(
        "service.require_claims",
        Kind::Flag,
        Some("false"),
        "Accept only service tokens that have `exp` and `data.roles` with `admin`, as `gom token` makes them. Prisma's client libraries sign neither, and need `false`: their tokens are good until the secret is changed.",
    ),
    Key::new(
        "datamodel.file",
        Kind::Path,
        None,
        "The Prisma datamodel (1.1) to serve. Unset: the one that is built in.",
    ),
    Key::new(
        "datamodel.renames",
        Kind::Path,
        None,
        "Renames that travel with the datamodel, a line each as `gom migrate plan --rename` takes them, the oldest first; `#` begins a comment. Those that a database has seen are passed over.",
    ),
    Key::new(
        "policy.file",
        Kind::Path,
        None,
        "The permissions that belong to the datamodel. Unset: the built-in one with the built-in datamodel; with another, only the service role has access.",
    ),
    Key::new(
        "graphql.introspection",
        Kind::Flag,
        Some("true"),
        "Answer `__schema` and `__type`. The service role is always answered.",
    ),
    Key::new(
        "graphql.console",
        Kind::Flag,
        Some("true"),
        "Show GraphiQL to browsers that open the API's address.",
    ),
    Key::new(
        "graphql.execute_raw",
        Kind::Flag,
        Some("false"),
        "Offer the mutation `executeRaw`, for the service role only.",
    ),
];

static CACHE: &[Key] = &[Key::new(
    "cache.document_bytes",
    SIZE,
    Some("16777216"),
    "Memory for parsed and checked documents and their plans, in all.",
)];

static REST: &[Key] = &[
    Key::new("sockets.init_timeout", TIME, Some("5000"), "A websocket that has not sent `connection_init` by then is closed."),
    Key::new(
        "sockets.message_bytes",
        SIZE,
        Some("262144"),
        "Size of a message that a websocket may send, in however many frames.",
    ),
    Key::new("sockets.operations", COUNT, Some("50"), "Operations that one websocket may have at once."),
    Key::new("sockets.per_user", COUNT, Some("20"), "Websockets and event streams that one user may have on one node."),
    Key::new(
        "sockets.per_address",
        COUNT,
        Some("1000"),
        "Websockets and event streams from one client address (IPv6: one /64) on one node.",
    ),
    Key::new("sockets.total", COUNT, Some("100000"), "Websockets and event streams on one node."),
    Key::new(
        "sockets.queue_messages",
        COUNT,
        Some("1000"),
        "Messages that may wait in a connection for its client to read them. Answers and events beyond them wait before it; a client that makes the server answer more often than that without reading is closed.",
    ),
    Key::new("sockets.queue_bytes", SIZE, Some("1048576"), "The same in bytes. One message is sent whatever its size."),
    Key::new(
        "sockets.stall_timeout",
        Kind::Milliseconds { min: 100, max: 3_600_000 },
        Some("30000"),
        "A client that reads nothing for this long of what is sent to it is cut off; one that reads is not, however slowly.",
    ),
    Key::new(
        "sockets.heartbeat",
        Kind::Milliseconds { min: 100, max: 3_600_000 },
        Some("25000"),
        "How often a websocket is pinged and an event stream gets a sign of life; a websocket that has not been heard of for two of these is closed.",
    ),
    Key::new("log.level", Kind::LogFilter, Some("info,actix_http::h1=off,actix_server=warn,tokio_postgres=warn,refinery_core=warn"), "Which lines are logged."),
    Key::new(
        "log.format",
        Kind::Choice(&["pretty", "json"]),
        Some("pretty"),
        "How lines are written to standard error.",
    ),
    Key::new(
        "app_key",
        Kind::Secret,
        None,
        "The keys of cookies and of the tokens that the server itself issues are derived from it; 32 characters or more, the same on all nodes. Unset: made at first start and kept beside the private database; with `database.url`, derived from `service.secret`.",
    )
    .variables(&["APP_KEY"]),
    Key::new(
        "app_key_previous",
        Kind::Secret,
        None,
        "The `app_key` before this one: what it signed is still accepted, so that changing the key logs nobody out.",
    )
    .variables(&["APP_KEY_PREVIOUS"]),
    Key::new(
        "redis.host",
        Kind::Text,
        None,
        "Host of Redis, which keeps sessions, login limits and devices. Unset: PostgreSQL keeps them.",
    )
    .variables(&["REDIS_HOST"]),
    Key::new("redis.port", Kind::Integer { min: 1, max: 65_535 }, Some("6379"), "Port of Redis.")
        .variables(&["REDIS_PORT"]),
    Key::new("redis.password", Kind::Secret, None, "Password of Redis.").variables(&["REDIS_PASSWORD"]),
    Key::new(
        "redis.timeout",
        Kind::Milliseconds { min: 1, max: 500 },
        Some("250"),
        "Redis counts as failed if an answer takes longer.",
    ),
    Key::new(
        "auth.provider",
        Kind::Choice(&["accounts", "auth0"]),
        None,
        "Who checks passwords: our own table (`gom account`), or an OAuth 2 token endpoint. Unset: `auth0` if `auth.auth0.client_id` is set, else `accounts`.",
    ),
    Key::new(
        "auth.auth0.token_url",
        Kind::Url,
        None,
        "The token endpoint, for the resource owner's password grant and the refresh grant.",
    ),
    Key::new("auth.auth0.issuer", Kind::Text, None, "The claim `iss` of its tokens, to the letter."),
    Key::new("auth.auth0.client_id", Kind::Text, None, "Client of the password grant.")
        .variables(&["AUTH0_CLIENT_ID"]),
    Key::new("auth.auth0.client_secret", Kind::Secret, None, "The client's secret, if it has one.")
        .variables(&["AUTH0_CLIENT_SECRET"]),
    Key::new(
        "auth.auth0.audience",
        Kind::Text,
        None,
        "Asked for, and needed in the claim `aud` of its access tokens.",
    ),
    Key::new(
        "auth.auth0.scope",
        Kind::Text,
        Some("openid profile email offline_access"),
        "Scopes that are asked for; `offline_access` gives a refresh token.",
    ),
    Key::new("auth.auth0.jwks_endpoint", Kind::Url, None, "Where the issuer's public keys (RS256, ES256) are."),
    Key::new(
        "auth.auth0.timeout",
        Kind::Milliseconds { min: 1, max: 60_000 },
        Some("5000"),
        "An answer of the token endpoint or of the keys' that takes longer has failed.",
    ),
    Key::new(
        "auth.local.issuer",
        Kind::Text,
        Some("https://auth.gom.com"),
        "The claim `iss` of the tokens that the server itself issues.",
    ),
    Key::new("auth.local.audience", Kind::Text, Some("https://gql.gom.com"), "Their claim `aud`."),
    Key::new(
        "auth.local.expiration",
        SECONDS,
        Some("1800"),
        "How long a token of a kind that the application issues is valid. It cannot be refreshed.",
    ),
    Key::new(
        "auth.accounts.expiration",
        SECONDS,
        Some("1800"),
        "How long the token of an account is valid before it is refreshed, which a disabled account is refused.",
    ),
    Key::new(
        "auth.accounts.hash_memory",
        Kind::Integer { min: 8, max: 1_048_576 },
        Some("19456"),
        "Memory in KiB that hashing a password takes (argon2id). Accounts are hashed anew at their next login.",
    ),
    Key::new(
        "auth.accounts.hash_passes",
        Kind::Integer { min: 1, max: 100 },
        Some("2"),
        "Passes over that memory.",
    ),
    Key::new(
        "session.options.max_age",
        LIFETIME,
        Some("2592000000"),
        "A session that is not used for this long ends; also the lifetime of its cookie `session-id`.",
    ),
    Key::new("session.options.http_only", Kind::Flag, Some("true"), "Hide `session-id` from scripts."),
    Key::new("session.options.same_site", SAME_SITE, Some("lax"), "`SameSite` of `session-id`."),
    Key::new(
        "session.options.secure",
        Kind::Flag,
        Some("true"),
        "`session-id` only over https. Off in development.",
    ),
    Key::new(
        "session.max_lifetime",
        LIFETIME,
        Some("7776000000"),
        "A session ends this long after its login, however much it is used.",
    ),
    Key::new(
        "session.per_user",
        Kind::Integer { min: 1, max: 10_000 },
        Some("20"),
        "Sessions that one user may have; a login beyond that ends the one that was used least recently.",
    ),
    Key::new(
        "access_token.options.max_age",
        LIFETIME,
        Some("2592000000"),
        "Lifetime of the cookie `session-token`. Without it the client counts as logged out.",
    ),
    Key::new("access_token.options.same_site", SAME_SITE, Some("lax"), "`SameSite` of `session-token`."),
    Key::new(
        "access_token.options.secure",
        Kind::Flag,
        Some("true"),
        "`session-token` only over https. Off in development.",
    ),
    Key::new(
        "csrf.options.max_age",
        LIFETIME,
        None,
        "Lifetime of the cookie `csrf-token`. Unset: until the browser is closed.",
    ),
    Key::new("csrf.options.same_site", SAME_SITE, Some("lax"), "`SameSite` of `csrf-token`."),
    Key::new(
        "csrf.options.secure",
        Kind::Flag,
        Some("true"),
        "`csrf-token` only over https. Off in development.",
    ),
];
