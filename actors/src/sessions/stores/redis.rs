//! Sessions in Redis: each a JSON text under `sess:<id>` that ends with its session, as connect-redis lays them
//! out, and for each subject a sorted set of its sessions' ids by when they were seen last. The set is only an
//! index: what it names may be gone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::FutureExt;
use redis::{Script, cmd, pipe};
use serde::{Deserialize, Serialize};

use super::{Life, Listed, SessionStore, Stored};
use crate::redis::{Redis, RedisOptions, RedisOptionsError};
use crate::secret::SecretText;
use crate::sessions::session::{Previous, Session, SessionId};
use gom_telemetry::health::HealthReporter;

const DATABASE: u8 = 2;

/// KEYS: the session, the subject's index, the session that it replaces (or itself). ARGV: the session, how long it lives,
/// when it was seen, its id, how long the index lives, how many sessions a subject may have, what stands before an id.
/// Removes from the index what is gone, and the sessions that were used least recently beyond that number. Asks no clock:
/// what is gone is visible to Redis.
const INSERT: &str = "
    if KEYS[3] ~= KEYS[1] then redis.call('del', KEYS[3]) end
    redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
    for _, id in ipairs(redis.call('zrange', KEYS[2], 0, -1)) do
        if redis.call('exists', ARGV[7] .. id) == 0 then redis.call('zrem', KEYS[2], id) end
    end
    redis.call('zadd', KEYS[2], ARGV[3], ARGV[4])
    redis.call('pexpire', KEYS[2], ARGV[5])
    local excess = redis.call('zcard', KEYS[2]) - tonumber(ARGV[6])
    for _, id in ipairs(redis.call('zrange', KEYS[2], 0, -1)) do
        if excess <= 0 then break end
        if id ~= ARGV[4] then
            redis.call('del', ARGV[7] .. id)
            redis.call('zrem', KEYS[2], id)
            excess = excess - 1
        end
    end
    return 1";

/// KEYS: the session, the subject's index. ARGV: how long it lives, when it was seen, its id.
const TOUCH: &str = "
    if redis.call('pexpire', KEYS[1], ARGV[1]) == 1 then redis.call('zadd', KEYS[2], ARGV[2], ARGV[3]) end
    return 1";

/// KEYS: the session. ARGV: the signature that it must have.
const REMOVE_STALE: &str = "
    local found = redis.call('get', KEYS[1])
    if not found or cjson.decode(found).signature ~= ARGV[1] then return 0 end
    return redis.call('del', KEYS[1])";

/// KEYS: the lock. ARGV: its holder, for how long. Anyone who has it may extend it.
const LOCK: &str = "
    local held = redis.call('get', KEYS[1])
    if held and held ~= ARGV[1] then return 0 end
    redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
    return 1";

/// KEYS: the session, its lock. ARGV: the stale signature, the renewed session, the lock's holder, the end of what was kept
/// of a previous one, or nothing.
const RENEW: &str = "
    local found = redis.call('get', KEYS[1])
    if not found then return 0 end
    local held = cjson.decode(found)
    if held.signature ~= ARGV[1] then return 0 end
    if ARGV[4] ~= '' and (not held.previous or held.previous['until'] ~= tonumber(ARGV[4])) then return 0 end
    local left = redis.call('pttl', KEYS[1])
    if left <= 0 then return 0 end
    redis.call('set', KEYS[1], ARGV[2], 'PX', left)
    if redis.call('get', KEYS[2]) == ARGV[3] then redis.call('del', KEYS[2]) end
    return 1";

/// KEYS: the lock. ARGV: its holder.
const UNLOCK: &str = "
    if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
    return 1";

/// KEYS: the subject's index. ARGV: what stands before an id.
const REMOVE_ALL: &str = "
    local removed = 0
    for _, id in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do
        removed = removed + redis.call('del', ARGV[1] .. id)
    end
    redis.call('del', KEYS[1])
    return removed";

/// KEYS: the subject's index. ARGV: what stands before an id. Gives id, when it was seen and session, one after
/// the other, and removes from the index what is gone.
const LIST: &str = "
    local answer = {}
    local index = redis.call('zrange', KEYS[1], 0, -1, 'withscores')
    for i = 1, #index, 2 do
        local found = redis.call('get', ARGV[1] .. index[i])
        if found then
            answer[#answer + 1] = index[i]
            answer[#answer + 1] = index[i + 1]
            answer[#answer + 1] = found
        else
            redis.call('zrem', KEYS[1], index[i])
        end
    end
    return answer";

const SESSION: &str = "sess:";

pub(in crate::sessions) struct RedisSessions {
    redis: Redis,
    absolute: Duration,
    insert: Script,
    touch: Script,
    remove_stale: Script,
    lock: Script,
    renew: Script,
    unlock: Script,
    remove_all: Script,
    list: Script,
}

impl RedisSessions {
    pub fn new(options: &RedisOptions, absolute: Duration) -> Result<Self, RedisOptionsError> {
        Ok(RedisSessions {
            redis: Redis::connect(options, DATABASE)?,
            absolute,
            insert: Script::new(INSERT),
            touch: Script::new(TOUCH),
            remove_stale: Script::new(REMOVE_STALE),
            lock: Script::new(LOCK),
            renew: Script::new(RENEW),
            unlock: Script::new(UNLOCK),
            remove_all: Script::new(REMOVE_ALL),
            list: Script::new(LIST),
        })
    }
}

/// A session as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    subject: String,
    provider: String,
    signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Milliseconds since 1970, as all times here.
    opened: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousRecord>,
}

#[derive(Serialize, Deserialize)]
struct PreviousRecord {
    signature: String,
    head: String,
    until: u64,
}

impl From<&Session> for Record {
    fn from(session: &Session) -> Self {
        let previous = session.previous.as_ref().map(|previous| PreviousRecord {
            signature: previous.signature.clone(),
            head: previous.head.clone(),
            until: milliseconds(previous.until),
        });
        Record {
            subject: session.subject.clone(),
            provider: session.provider.clone(),
            signature: session.signature.clone(),
            refresh_token: session
                .refresh_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            opened: milliseconds(session.opened),
            previous,
        }
    }
}

impl From<Record> for Session {
    fn from(record: Record) -> Self {
        let previous = record.previous.map(|previous| Previous {
            signature: previous.signature,
            head: previous.head,
            until: moment(previous.until),
        });
        Session {
            subject: record.subject,
            provider: record.provider,
            signature: record.signature,
            refresh_token: record.refresh_token.map(SecretText::new),
            opened: moment(record.opened),
            previous,
        }
    }
}

/// A text that is no session of ours is none: another program may have kept its own under the same names.
fn read(text: &[u8]) -> Option<Session> {
    serde_json::from_slice::<Record>(text)
        .ok()
        .map(Session::from)
}

fn write(session: &Session) -> Result<String, String> {
    serde_json::to_string(&Record::from(session))
        .map_err(|error| format!("a session cannot be written: {error}"))
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn moment(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(milliseconds))
        .unwrap_or(UNIX_EPOCH)
}

/// Redis takes no end that lies now.
fn span(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn session_key(id: &SessionId) -> String {
    format!("{SESSION}{}", id.as_str())
}

fn index_key(subject: &str) -> String {
    format!("subject:{subject}")
}

fn lock_key(id: &SessionId) -> String {
    format!("refresh:{}", id.as_str())
}

impl SessionStore for RedisSessions {
    fn reporter(&self) -> &HealthReporter {
        self.redis.reporter()
    }

    fn get<'a>(&'a self, id: &'a SessionId, _: SystemTime) -> Stored<'a, Option<Session>> {
        async move {
            let mut get = cmd("GET");
            get.arg(session_key(id));
            let found: Option<Vec<u8>> = self.redis.ask(&get).await?;
            Ok(found.and_then(|text| read(&text)))
        }
        .boxed()
    }

    fn living<'a>(&'a self, ids: &'a [SessionId], _: SystemTime) -> Stored<'a, Vec<bool>> {
        async move {
            let mut living = Vec::with_capacity(ids.len());
            // So many that others' requests are not held up.
            for ids in ids.chunks(500) {
                let mut all = pipe();
                ids.iter().for_each(|id| {
                    all.cmd("EXISTS").arg(session_key(id));
                });
                living.extend(self.redis.ask::<Vec<bool>>(&all).await?);
            }
            Ok(living)
        }
        .boxed()
    }

    fn insert<'a>(
        &'a self,
        id: &'a SessionId,
        session: &'a Session,
        life: Life,
        replaces: Option<&'a SessionId>,
        most: usize,
    ) -> Stored<'a, ()> {
        async move {
            let mut inserting = self.insert.key(session_key(id));
            inserting
                .key(index_key(&session.subject))
                .key(session_key(replaces.unwrap_or(id)));
            inserting
                .arg(write(session)?)
                .arg(span(life.left))
                .arg(milliseconds(life.now))
                .arg(id.as_str());
            // The newest session is the last one to end.
            inserting.arg(span(self.absolute)).arg(most).arg(SESSION);
            self.redis.ask::<()>(&inserting).await
        }
        .boxed()
    }

    fn touch<'a>(&'a self, id: &'a SessionId, subject: &'a str, life: Life) -> Stored<'a, ()> {
        async move {
            let mut touching = self.touch.key(session_key(id));
            touching
                .key(index_key(subject))
                .arg(span(life.left))
                .arg(milliseconds(life.now))
                .arg(id.as_str());
            self.redis.ask::<()>(&touching).await
        }
        .boxed()
    }

    fn remove<'a>(&'a self, id: &'a SessionId) -> Stored<'a, bool> {
        async move {
            let mut delete = cmd("DEL");
            delete.arg(session_key(id));
            self.redis.ask(&delete).await
        }
        .boxed()
    }

    fn remove_stale<'a>(&'a self, id: &'a SessionId, signature: &'a str) -> Stored<'a, bool> {
        async move {
            self.redis
                .ask(&*self.remove_stale.key(session_key(id)).arg(signature))
                .await
        }
        .boxed()
    }

    fn remove_all<'a>(&'a self, subject: &'a str, _: SystemTime) -> Stored<'a, u64> {
        async move {
            self.redis
                .ask(&*self.remove_all.key(index_key(subject)).arg(SESSION))
                .await
        }
        .boxed()
    }

    fn list<'a>(&'a self, subject: &'a str, _: SystemTime) -> Stored<'a, Vec<Listed>> {
        async move {
            let mut listing = self.list.key(index_key(subject));
            let found: Vec<(String, f64, Vec<u8>)> = self.redis.ask(&*listing.arg(SESSION)).await?;
            let listed = found.into_iter().filter_map(|(id, seen, text)| {
                // A whole number, which Redis keeps as it keeps all scores.
                let seen = UNIX_EPOCH.checked_add(Duration::from_millis(seen.round() as u64))?;
                Some(Listed {
                    id: SessionId::parse(&id)?,
                    session: read(&text)?,
                    seen,
                })
            });
            Ok(listed.collect())
        }
        .boxed()
    }

    fn lock<'a>(&'a self, id: &'a SessionId, holder: &'a str, time: Duration) -> Stored<'a, bool> {
        async move {
            // Carried out twice, it finds its own holder.
            let mut locking = self.lock.key(lock_key(id));
            self.redis.ask(&*locking.arg(holder).arg(span(time))).await
        }
        .boxed()
    }

    fn unlock<'a>(&'a self, id: &'a SessionId, holder: &'a str) -> Stored<'a, ()> {
        async move {
            self.redis
                .ask::<()>(&*self.unlock.key(lock_key(id)).arg(holder))
                .await
        }
        .boxed()
    }

    fn renew<'a>(
        &'a self,
        id: &'a SessionId,
        held: &'a Session,
        renewed: &'a Session,
        holder: &'a str,
    ) -> Stored<'a, bool> {
        async move {
            let mut renewing = self.renew.key(session_key(id));
            renewing
                .key(lock_key(id))
                .arg(&held.signature)
                .arg(write(renewed)?)
                .arg(holder);
            let until = held
                .previous
                .as_ref()
                .map(|previous| milliseconds(previous.until).to_string());
            renewing.arg(until.unwrap_or_default());
            self.redis.ask(&renewing).await
        }
        .boxed()
    }

    /// Redis forgets by itself.
    fn sweep(&self, _: SystemTime) -> Stored<'_, bool> {
        std::future::ready(Ok(false)).boxed()
    }
}
