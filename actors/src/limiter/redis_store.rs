//! Counters in Redis: plain numbers with an end, as npm's rate-limiter-flexible keeps them, so that either can read
//! the other's. Each request is one script: nobody comes between its steps.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use redis::Script;

use super::store::{Count, LimiterStore, Settle, Take};
use crate::redis::{Redis, RedisOptions, RedisOptionsError};
use gom_telemetry::health::HealthReporter;

const DATABASE: u8 = 3;

pub(super) struct RedisCounters {
    redis: Redis,
    reserve: Arc<Script>,
    settle: Arc<Script>,
}

impl RedisCounters {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisOptionsError> {
        Ok(RedisCounters {
            redis: Redis::connect(options, DATABASE)?,
            reserve: Arc::new(Script::new(include_str!("reserve.lua"))),
            settle: Arc::new(Script::new(include_str!("refund.lua"))),
        })
    }
}

impl LimiterStore for RedisCounters {
    fn reporter(&self) -> &HealthReporter {
        self.redis.reporter()
    }

    fn reserve(&self, takes: Vec<Take>) -> BoxFuture<'static, Result<Vec<Count>, String>> {
        let (redis, script) = (self.redis.clone(), Arc::clone(&self.reserve));
        async move {
            let mut invocation = script.prepare_invoke();
            for take in &takes {
                invocation
                    .key(&take.key)
                    .arg(take.limit.points)
                    .arg(take.amount);
                invocation
                    .arg(milliseconds(take.window()))
                    .arg(milliseconds(take.block()))
                    .arg(take.in_flight);
            }
            let numbers: Vec<i64> = redis.ask_once(&invocation).await?;
            let counts: Vec<Count> = numbers
                .chunks_exact(3)
                .map(|of| count(of[0], of[1], of[2] == 1))
                .collect();
            if counts.len() == takes.len() {
                Ok(counts)
            } else {
                Err("Redis: it answers nonsense".to_owned())
            }
        }
        .boxed()
    }

    fn settle(&self, settlements: Vec<Settle>) -> BoxFuture<'static, Result<(), String>> {
        let (redis, script) = (self.redis.clone(), Arc::clone(&self.settle));
        async move {
            let mut invocation = script.prepare_invoke();
            for settlement in &settlements {
                match settlement {
                    Settle::Back(key) => invocation.key(key).arg("back"),
                    Settle::Reset(key) => invocation.key(key).arg("reset"),
                };
            }
            redis.ask_once::<()>(&invocation).await
        }
        .boxed()
    }

    /// Redis forgets by itself.
    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>> {
        std::future::ready(Ok(false)).boxed()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Below zero somebody else has been at work: that counts as nothing taken.
pub(super) fn count(consumed: i64, left: i64, busy: bool) -> Count {
    Count {
        consumed: u32::try_from(consumed.max(0)).unwrap_or(u32::MAX),
        left: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
        busy,
    }
}
