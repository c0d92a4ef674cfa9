//! Redis: whether it keeps what it is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gom_actors::redis::{DATABASES, open};
use redis::aio::MultiplexedConnection;

use super::Patient;
use super::report::{Report, Subject};

const OLDEST_VERSION: u64 = 5;
/// Looks of which the middle one counts.
const LOOKS: usize = 5;
const SLOW: Duration = Duration::from_millis(10);

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let mut found = report.of("redis");
    let Some(options) = patient.settings.redis.options() else {
        return found.skipped(
            "reachable",
            "none is configured (redis.host): PostgreSQL keeps sessions, limits and devices",
        );
    };
    let unreachable = |found: &mut Subject<'_>, reason: String| {
        found.problem(
            "reachable",
            reason,
            "see that it runs, and correct redis.host, redis.port and redis.password",
        );
    };
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(2)));
    let connecting = async |database: u8| {
        let client = open(&options, database).map_err(|error| error.to_string())?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        connection.map_err(|error| error.to_string())
    };
    let mut connection = match connecting(0).await {
        Ok(connection) => connection,
        Err(reason) => return unreachable(&mut found, reason),
    };
    let mut looks = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        let begun = Instant::now();
        if let Err(error) = redis::cmd("PING").exec_async(&mut connection).await {
            return unreachable(&mut found, error.to_string());
        }
        looks.push(begun.elapsed());
    }
    looks.sort_unstable();
    let latency = looks[LOOKS / 2];
    let text = format!(
        "it answers within {:.2} ms",
        latency.as_secs_f64() * 1_000.0
    );
    if latency > options.timeout / 2 {
        let remedy = "bring it nearer, or raise redis.timeout: most answers would count as failed";
        found.problem("reachable", text, remedy);
    } else if latency > SLOW {
        found.warning(
            "reachable",
            text,
            "every request of a user waits for it: bring it nearer",
        );
    } else {
        found.ok("reachable", text);
    }
    match info(&mut connection).await {
        Ok(info) => {
            // Some hosts keep their settings to themselves.
            let mut asking = redis::cmd("CONFIG");
            let saves: Result<(String, String), _> = asking
                .arg("GET")
                .arg("save")
                .query_async(&mut connection)
                .await;
            of_info(
                &info,
                saves.is_ok_and(|(_, when)| when.is_empty()),
                &mut found,
            );
        }
        Err(reason) => {
            found.skipped(
                "maxmemory-policy",
                format!("it does not tell about itself (INFO): {reason}"),
            );
        }
    }
    let mut refused = Vec::new();
    for database in DATABASES {
        if let Err(reason) = connecting(database).await {
            refused.push(format!("{database} ({reason})"));
        }
    }
    if refused.is_empty() {
        found.ok("databases", format!("{DATABASES:?} can be used"));
    } else {
        found.problem(
            "databases",
            format!("some numbers cannot be used: {}", refused.join(", ")),
            "let it have at least 4 (`databases` in its configuration), and do not run it as a cluster, which has one",
        );
    }
}

async fn info(connection: &mut MultiplexedConnection) -> Result<HashMap<String, String>, String> {
    let text: String = redis::cmd("INFO")
        .query_async(connection)
        .await
        .map_err(|error| error.to_string())?;
    let pair = |line: &str| {
        line.trim()
            .split_once(':')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// `unsaved`: it never makes a snapshot by itself.
fn of_info(info: &HashMap<String, String>, unsaved: bool, found: &mut Subject<'_>) {
    let said = |key: &str| info.get(key).map_or("", String::as_str);
    let version = said("redis_version");
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u64>().ok());
    if major.is_some_and(|major| major >= OLDEST_VERSION) {
        found.ok("version", version);
    } else {
        found.problem(
            "version",
            format!("{version:?}"),
            format!("use Redis {OLDEST_VERSION} or newer"),
        );
    }
    match said("maxmemory_policy") {
        "noeviction" => found.ok("maxmemory-policy", "noeviction"),
        "" => found.skipped("maxmemory-policy", "it does not say which it has"),
        policy => found.problem(
            "maxmemory-policy",
            format!(
                "{policy}: where memory is short it forgets sessions, login limits and devices"
            ),
            "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file",
        ),
    }
    let number = |key: &str| said(key).parse::<u64>().unwrap_or(0);
    let (used, most) = (number("used_memory"), number("maxmemory"));
    if most > 0 && used.saturating_mul(10) > most.saturating_mul(9) {
        found.warning(
            "memory",
            format!("{used} of {most} bytes are used: when it is full, nobody can log in"),
            "raise maxmemory",
        );
    }
    if said("role") == "slave" {
        found.problem(
            "role",
            "it is a replica, which takes no writes",
            "name the primary in redis.host",
        );
    }
    if said("loading") == "1" {
        found.warning("persistence", "it is reading what it had", "wait");
    } else if said("aof_enabled") == "1" {
        found.ok("persistence", "append-only file");
    } else if !unsaved && said("rdb_last_bgsave_status") == "ok" {
        found.warning(
            "persistence",
            "snapshots at most: after a crash, logins and devices since the last one are lost",
            "CONFIG SET appendonly yes, and the same in its configuration file",
        );
    } else {
        found.warning(
            "persistence",
            "what it has is not on disk: after a restart everybody has to log in, and devices receive nothing",
            "CONFIG SET appendonly yes, and the same in its configuration file",
        );
    }
}
