//! How nodes wake each other through Redis: one channel, one short message for all that was committed meanwhile.
//! Nothing depends on it but time: a node that receives nothing polls the log.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::{Live, WeakLive};
use crate::redis::{Redis, RedisOptions, RedisOptionsError, subscriber};

const CHANNEL: &str = "gom:changes";
/// Commits within this time are announced together.
const TOGETHER: Duration = Duration::from_millis(2);
const PAUSE: Duration = Duration::from_millis(500);
/// How often the connection that listens is tried, and how long an answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Channels belong to the server, not to one of its databases.
const DATABASE: u8 = 0;

/// Announces this node's commits to others, and wakes this one for theirs, on this thread's runtime, as long as `live` lasts.
pub(super) fn between_nodes(options: &RedisOptions, live: &Live) -> Result<(), RedisOptionsError> {
    let node = uuid::Uuid::new_v4().to_string();
    let redis = Redis::connect(options, DATABASE)?;
    let client = subscriber(options)?;
    let shared = std::sync::Arc::downgrade(&live.shared);
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(&node);
    actix::spawn(async move {
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            // The process may end meanwhile: this task does not keep it.
            let announced = tokio::time::timeout(PAUSE, shared.announce.notified()).await;
            drop(shared);
            if announced.is_ok() {
                // Redis may be away: the others look for themselves.
                let published: Result<i64, String> = redis.ask(&publish).await;
                if let Err(cause) = published {
                    tracing::debug!(cause, "other nodes were not notified of a change");
                }
                sleep(TOGETHER).await;
            }
        }
    });
    let live = live.downgrade();
    actix::spawn(async move {
        while !live.has_ended() {
            if let Err(cause) = listen(&client, &live, &node).await {
                tracing::debug!(
                    cause,
                    "wake-ups of other nodes are not received; subscribing again"
                );
            }
            sleep(PAUSE).await;
        }
    });
    Ok(())
}

/// Wakes this node for others' commits until the connection fails or answers no ping.
async fn listen(client: &redis::Client, live: &WeakLive, node: &str) -> Result<(), String> {
    let connecting = async {
        let mut channel = client.get_async_pubsub().await?;
        channel.subscribe(CHANNEL).await?;
        Ok(channel)
    };
    let channel = match timeout(TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error: redis::RedisError| error.to_string())?,
        Err(_) => return Err("no answer in time".to_owned()),
    };
    // What was announced meanwhile was missed.
    live.committed_elsewhere();
    let (mut requests, mut messages) = channel.split();
    let hear = async {
        while let Some(message) = messages.next().await {
            if message.get_payload_bytes() != node.as_bytes()
                && live.committed_elsewhere().is_none()
            {
                break;
            }
        }
        "the connection has ended".to_owned()
    };
    // A server that vanishes sends nothing, like one that has nothing to send.
    let check = async {
        loop {
            sleep(PING_INTERVAL).await;
            if live.has_ended() {
                return "nothing is followed any more".to_owned();
            }
            match timeout(TIMEOUT, requests.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "no answer to a ping".to_owned(),
            }
        }
    };
    tokio::select! {
        cause = hear => Err(cause),
        cause = check => Err(cause),
    }
}
