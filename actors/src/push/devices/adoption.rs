//! Devices that an earlier server has left in Redis: its hashes do not say whose they are, the users' sets do. Looked through
//! once, before the first look-up: a device that one set names is that user's. One that several name, of a browser that they
//! shared, is nobody's until it is subscribed again.

use redis::{Script, cmd};

use crate::redis::Redis;

/// There once all have been looked through.
const ADOPTED: &str = "gom:adopted";
/// Keys that Redis looks at in one step.
const STEP: usize = 500;
const SETS: (&str, &str) = ("user:", ":subs");

/// Gives each device without a user the one that it has, unless that has been done.
///
/// # Errors
/// If Redis does not answer; what has been done does no harm when it is done again.
pub(super) async fn adopt(redis: &Redis) -> Result<(), String> {
    let mut asking = cmd("EXISTS");
    if redis.ask::<i64>(&*asking.arg(ADOPTED)).await? == 1 {
        return Ok(());
    }
    let script = Script::new(include_str!("adopt.lua"));
    for task in ["claim", "give"] {
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg(format!("{}*{}", SETS.0, SETS.1))
                .arg("COUNT")
                .arg(STEP);
            let (next, found): (u64, Vec<Vec<u8>>) = redis.ask(&scan).await?;
            let names: Vec<String> = found
                .into_iter()
                .filter_map(|name| String::from_utf8(name).ok())
                .collect();
            let user =
                |name: &String| Some(name.strip_prefix(SETS.0)?.strip_suffix(SETS.1)?.to_owned());
            let mut step = script.prepare_invoke();
            step.arg(task);
            let mut sets = 0;
            for (name, user) in names.iter().filter_map(|name| Some((name, user(name)?))) {
                step.key(name).arg(user);
                sets += 1;
            }
            if sets > 0 {
                redis.ask::<i64>(&step).await?;
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    let mut noting = cmd("SET");
    redis.ask::<()>(&*noting.arg(ADOPTED).arg(1)).await
}
