//! npm's rate-limiter-flexible, which the original used, beside our limiter on the same Redis: the same random
//! schedule of attempts, successes and pauses gives the same verdicts, counts and waits, on Redis, in PostgreSQL and
//! in memory. And it reads our counters, because they are laid out as its own.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use gom_actors::limiter::{LimiterOptions, Reservation, Verdict};
use gom_test_support::dice::Dice;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Kind, Place, limit};

/// The names that our counters have.
const CONSECUTIVE: &str = "login_consecutive_fails";
const SLOW: &str = "login_slow_brute";
/// The names that the library's own have in this test.
const THEIR_CONSECUTIVE: &str = "npm_consecutive";
const THEIR_SLOW: &str = "npm_slow";

/// Steps of the schedule.
const STEPS: usize = 400;
/// What is counted one after the other ends one after the other: how far apart that may be.
const APART: u64 = 150;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/limiter/npm")
}

/// Installs the packages unless `scripts/test` has done so.
fn need_packages() {
    let (folder, lock) = (folder(), "package-lock.json");
    let wanted = std::fs::metadata(folder.join(lock))
        .and_then(|file| file.modified())
        .unwrap();
    let found = std::fs::metadata(folder.join("node_modules/.package-lock.json"));
    if found
        .and_then(|file| file.modified())
        .is_ok_and(|found| found >= wanted)
    {
        return;
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let status = Command::new("npm")
        .args(install)
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "`npm ci` in {} failed ({status:?}); this test needs Node.js with npm, and the packages",
        folder.display()
    );
}

/// The library in a process of its own.
struct Library {
    process: Child,
    asked: RefCell<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Library {
    fn start(port: u16, options: &LimiterOptions) -> Library {
        need_packages();
        let seconds = |limit: gom_actors::limiter::Limit| {
            json!({ "points": limit.points, "duration": limit.duration.as_secs(),
                    "blockDuration": limit.block_duration.as_secs() })
        };
        let names = json!({
            CONSECUTIVE: seconds(options.consecutive), SLOW: seconds(options.slow),
            THEIR_CONSECUTIVE: seconds(options.consecutive), THEIR_SLOW: seconds(options.slow),
        });
        let mut command = Command::new("node");
        command.current_dir(folder()).args([
            "limiter.js",
            &port.to_string(),
            "3",
            &names.to_string(),
        ]);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs Node.js");
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Library {
            process,
            asked: RefCell::new((input, output)),
        }
    }

    fn ask(&self, operation: &str, limiter: &str, key: &str) -> State {
        let (input, output) = &mut *self.asked.borrow_mut();
        writeln!(
            input,
            "{}",
            json!({ "operation": operation, "limiter": limiter, "key": key })
        )
        .unwrap();
        let line = output.next().expect("it answers").unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        State {
            rejected: answer["rejected"].as_bool().unwrap(),
            consumed: answer["consumed"].as_i64().unwrap_or(0),
            left: answer["left"].as_u64().unwrap_or(0),
        }
    }

    /// An attempt as our limiter makes it, in the library's terms. The wait if it is refused.
    fn reserve(&self, user: Option<&str>, address: &str) -> Option<u64> {
        let user = user.map(|user| (user, self.ask("consume", THEIR_CONSECUTIVE, user)));
        let of_address = self.ask("consume", THEIR_SLOW, address);
        match user {
            Some((_, of_user)) if of_user.rejected && of_address.rejected => {
                Some(of_user.left.max(of_address.left))
            }
            Some((_, of_user)) if of_user.rejected => {
                self.ask("reward", THEIR_SLOW, address);
                Some(of_user.left)
            }
            Some((user, _)) if of_address.rejected => {
                self.ask("reward", THEIR_CONSECUTIVE, user);
                Some(of_address.left)
            }
            _ => of_address.rejected.then_some(of_address.left),
        }
    }

    fn refund(&self, user: Option<&str>, address: &str) {
        if let Some(user) = user {
            self.ask("delete", THEIR_CONSECUTIVE, user);
        }
        // Where there is nothing, the library would go below zero.
        if self.ask("get", THEIR_SLOW, address).consumed > 0 {
            self.ask("reward", THEIR_SLOW, address);
        }
    }

    /// The time until one of these counters, theirs or ours, ends.
    fn next_end(&self, user: &str, address: &str) -> u64 {
        let all = [
            (CONSECUTIVE, user),
            (THEIR_CONSECUTIVE, user),
            (SLOW, address),
            (THEIR_SLOW, address),
        ];
        let ends = all
            .iter()
            .map(|(limiter, key)| self.ask("get", limiter, key).left);
        ends.filter(|left| *left > 0).min().unwrap_or(u64::MAX)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    rejected: bool,
    consumed: i64,
    left: u64,
}

fn seed() -> u64 {
    let given = std::env::var("GOM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| RandomState::new().hash_one(1) >> 1)
}

#[actix::test]
async fn the_limiter_behaves_like_rate_limiter_flexible() {
    let seed = seed();
    println!("to repeat: GOM_SEED={seed}");
    let mut dice = Dice::new(seed);
    let change = |options: &mut LimiterOptions| {
        options.consecutive = limit(3, 2_000, 1_000);
        options.slow = limit(6, 3_000, 2_000);
    };
    let places = [
        Place::with(Kind::Redis, change).await,
        Place::with(Kind::Postgres, change).await,
        Place::with(Kind::Memory, change).await,
    ];
    let library = Library::start(places[0].redis.as_ref().unwrap().port(), &places[0].options);
    // Node.js takes its time to start, in which nothing else of this thread goes on.
    library.ask("get", SLOW, "nobody");
    let (users, addresses) = (["ana", "bea", "eva"], ["192.0.2.1", "192.0.2.2"]);
    let (mut blocked, mut refunded, mut stalls) = (0, 0, 0);
    // Some games of chance block nearly everything: they are played on until enough was refunded as well.
    for step in 0.. {
        let enough = blocked > STEPS / 20 && refunded > STEPS / 40;
        if step >= STEPS && enough {
            break;
        }
        assert!(
            step < 5 * STEPS,
            "{blocked} blocked, {refunded} refunded, {stalls} stalls in {step} steps"
        );
        let user = format!("{}#{stalls}", dice.pick(&users));
        let address = format!("{}#{stalls}", dice.pick(&addresses));
        let (user, address) = (user.as_str(), address.as_str());
        let named = (dice.below(4) > 0).then_some(user);
        let (succeeds, pause) = (dice.below(5) == 0, dice.below(8));
        if pause == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(400) as u64)).await;
        }
        // Where a counter ends just now, those that began a little later have not ended yet.
        let mut began = Instant::now();
        while library.next_end(user, address) < APART {
            tokio::time::sleep(Duration::from_millis(APART + 20)).await;
            began = Instant::now();
        }
        let theirs = library.reserve(named, address);
        let mut verdicts = Vec::new();
        for place in &places {
            verdicts.push(place.limiter.reserve(named, address).await);
        }
        // Counters have ended in between if the machine stood still: who plays on is somebody else.
        if began.elapsed() >= Duration::from_millis(APART) {
            stalls += 1;
            continue;
        }
        let mut reservations: Vec<Reservation> = Vec::new();
        for (place, verdict) in places.iter().zip(verdicts) {
            let kind = place.options.store.clone();
            match (verdict, theirs) {
                (Verdict::Admitted(reservation), None) => reservations.push(reservation),
                (Verdict::Blocked { retry_after }, Some(wait)) => {
                    let ours = u64::try_from(retry_after.as_millis()).unwrap();
                    assert!(
                        ours.abs_diff(wait) < APART,
                        "step {step}, {kind:?}: {ours} ms, {wait} ms"
                    );
                }
                (ours, _) => {
                    panic!("step {step}, {kind:?}, {named:?} from {address}: {ours:?}, {theirs:?}")
                }
            }
        }
        blocked += usize::from(theirs.is_some());
        if succeeds && theirs.is_none() {
            refunded += 1;
            library.refund(named, address);
            for (place, reservation) in places.iter().zip(reservations) {
                place.limiter.refund(reservation).await;
            }
        }
        let counters = [
            (CONSECUTIVE, THEIR_CONSECUTIVE, user),
            (SLOW, THEIR_SLOW, address),
        ]
        .map(|(ours, theirs, key)| {
            (
                library.ask("get", ours, key),
                library.ask("get", theirs, key),
                key,
            )
        });
        if began.elapsed() >= Duration::from_millis(APART) {
            stalls += 1;
            continue;
        }
        for (ours, theirs, key) in counters {
            assert_eq!(ours.consumed, theirs.consumed, "step {step}: {key}");
            assert!(
                ours.left.abs_diff(theirs.left) < APART,
                "step {step}: {key}: {ours:?}, {theirs:?}"
            );
        }
    }
    let fallback = places
        .iter()
        .map(|place| place.limiter.fallback_attempts())
        .sum::<u64>();
    assert!(
        fallback == 0 || stalls > 0,
        "{fallback} attempts were counted in memory"
    );
}
