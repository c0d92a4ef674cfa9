//! Counters in Redis: plain numbers with an end, as npm's rate-limiter-flexible keeps them, so that either can read
//! the other's. Each request is one script, and so atomic.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use redis::Script;

use super::{Adjustment, Count, LimiterStore, Take, count};
use crate::redis::{Redis, RedisOptions, RedisOptionsError};
use gom_telemetry::health::HealthReporter;

const DATABASE: u8 = 3;

pub(in crate::limiter) struct RedisCounters {
    redis: Redis,
    reserve: Arc<Script>,
    adjust: Arc<Script>,
}

impl RedisCounters {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisOptionsError> {
        Ok(RedisCounters {
            redis: Redis::connect(options, DATABASE)?,
            reserve: Arc::new(Script::new(include_str!("reserve.lua"))),
            adjust: Arc::new(Script::new(include_str!("refund.lua"))),
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
                Err(format!(
                    "Redis: unexpected response: {} counts",
                    counts.len()
                ))
            }
        }
        .boxed()
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> BoxFuture<'static, Result<(), String>> {
        let (redis, script) = (self.redis.clone(), Arc::clone(&self.adjust));
        async move {
            let mut invocation = script.prepare_invoke();
            for adjustment in &adjustments {
                match adjustment {
                    Adjustment::GiveBack(key) => invocation.key(key).arg("back"),
                    Adjustment::Reset(key) => invocation.key(key).arg("reset"),
                };
            }
            redis.ask_once::<()>(&invocation).await
        }
        .boxed()
    }

    /// Redis removes expired keys by itself.
    fn sweep(&self) -> BoxFuture<'static, Result<bool, String>> {
        std::future::ready(Ok(false)).boxed()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
