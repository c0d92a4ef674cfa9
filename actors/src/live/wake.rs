//! How nodes wake each other through Redis: one channel, one short message for whatever was committed meanwhile.
//! Nothing depends on it but time: a node that hears nothing looks for itself.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::Live;
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

/// Tells other nodes of this one's commits, and wakes this one for theirs, on this thread's runtime, as long as that
/// runs.
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
            // The process ends without a word: this is no reason to keep it.
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
    let live = live.clone();
    actix::spawn(async move {
        loop {
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

/// Wakes this node for others' commits until the connection fails, or says nothing.
async fn listen(client: &redis::Client, live: &Live, node: &str) -> Result<(), String> {
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
    live.heard();
    let (mut requests, mut messages) = channel.split();
    let hear = async {
        while let Some(message) = messages.next().await {
            if message.get_payload_bytes() != node.as_bytes() {
                live.heard();
            }
        }
        "the connection has ended".to_owned()
    };
    // A server that vanishes says nothing, like one that has nothing to say.
    let check = async {
        loop {
            sleep(PING_INTERVAL).await;
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
