//! Hashes passwords with argon2id: on threads of their own, a few at a time, so that a flood of logins leaves the
//! server the time to answer everybody else.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use gom_actors::secret::SecretText;
use gom_runtime::permits::{Permit, Permits};

use crate::settings::Accounts;

/// Logins that may wait for their turn; the next is refused with `Retry-After`.
const MAX_WAITING: usize = 64;
/// How long one may wait.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Characters of a new password.
const SHORTEST: usize = 8;
/// Characters of a password, as many as a login takes: hashing a book is work, too.
pub const MAX_PASSWORD_CHARACTERS: usize = 256;

/// A password cannot be hashed or checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is shorter than 8 characters.
    #[error("the password is shorter than {SHORTEST} characters")]
    TooShort,
    /// It is longer than a login takes.
    #[error("the password is longer than {MAX_PASSWORD_CHARACTERS} characters")]
    TooLong,
    /// It holds a zero byte.
    #[error("the password holds a zero byte, which no login takes")]
    HasNul,
    /// Nothing was hashed: the same may be retried.
    #[error("too many passwords wait to be checked")]
    Busy,
    /// The library refused, for this reason.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

fn is_short_enough(password: &SecretText) -> bool {
    password.expose().chars().count() <= MAX_PASSWORD_CHARACTERS
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Hasher {
    params: Params,
    /// What a password is checked against when there is no account: as much work as any, and never right.
    nobody: String,
    turns: Permits,
    waiting: Permits,
}

impl Hasher {
    /// Hashes with the memory and the passes of the settings; half the processor's cores work at once.
    pub fn new(settings: &Accounts) -> Self {
        let (memory, passes) = (settings.hash_memory, settings.hash_passes);
        // The settings' bounds are within argon2's own.
        let params = Params::new(memory, passes, 1, None).unwrap_or_default();
        let turns =
            std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        Hasher {
            nobody: nobodys_hash(&params),
            params,
            turns: Permits::new(turns),
            waiting: Permits::new(MAX_WAITING),
        }
    }

    /// The hash of a new password, in the PHC string format.
    ///
    /// # Errors
    /// If the password is too short, or none that a login takes, or too many wait.
    pub async fn hash(&self, password: &SecretText) -> Result<String, PasswordError> {
        if password.expose().chars().count() < SHORTEST {
            return Err(PasswordError::TooShort);
        }
        if !is_short_enough(password) {
            return Err(PasswordError::TooLong);
        }
        if password.expose().contains('\0') {
            return Err(PasswordError::HasNul);
        }
        let (argon2, password) = (self.argon2(), password.clone());
        let hash = move || argon2.hash_password(password.expose().as_bytes());
        let hash: PasswordHash = self
            .in_turn(hash)
            .await?
            .map_err(|error| PasswordError::Failed(error.to_string()))?;
        Ok(hash.to_string())
    }

    /// Whether the password is the one that was hashed; never without a hash, and after as long.
    ///
    /// # Errors
    /// If too many wait.
    pub(crate) async fn verify(
        &self,
        hash: Option<String>,
        password: &SecretText,
    ) -> Result<bool, PasswordError> {
        let possible = is_short_enough(password);
        let hash = hash
            .filter(|_| possible)
            .unwrap_or_else(|| self.nobody.clone());
        let password = if possible {
            password.clone()
        } else {
            SecretText::new("")
        };
        let argon2 = self.argon2();
        self.in_turn(move || {
            let right = argon2.verify_password(password.expose().as_bytes(), hash.as_str());
            right.is_ok()
        })
        .await
    }

    /// Whether a hash was made with other settings than today's.
    pub(crate) fn is_outdated(&self, hash: &str) -> bool {
        let params = PasswordHash::new(hash)
            .ok()
            .and_then(|hash| Params::try_from(&hash).ok());
        let of = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        params.is_none_or(|params| of(&params) != of(&self.params))
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    /// Does the work on a thread for blocking work when it is its turn. Once begun, it is done to its end even if
    /// nobody waits for it any more, and keeps its turn until then.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await
            .map_err(|error| PasswordError::Failed(error.to_string()))
    }

    async fn turn(&self) -> Result<Permit, PasswordError> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let busy = |_| PasswordError::Busy;
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        self.turns.acquire_within(TIMEOUT).await.map_err(busy)
    }
}

/// A hash of nothing: a random salt and a random output.
fn nobodys_hash(params: &Params) -> String {
    let random = |bytes: &mut [u8]| {
        // aws-lc ends the process by itself if the system has no random bytes.
        rand::fill(bytes).expect("random bytes");
        STANDARD_NO_PAD.encode(bytes)
    };
    let (salt, output) = (
        random(&mut [0; 16]),
        random(&mut [0; Params::DEFAULT_OUTPUT_LEN]),
    );
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(hash_memory: u32, hash_passes: u32) -> Hasher {
        Hasher::new(&Accounts {
            expiration: Duration::from_secs(60),
            hash_memory,
            hash_passes,
        })
    }

    fn secret(text: &str) -> SecretText {
        SecretText::new(text)
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_only() {
        let hasher = hasher(64, 1);
        let hash = hasher.hash(&secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(
            hasher.hash(&secret("correct horse")).await.unwrap(),
            hash,
            "the salt is random"
        );
        assert!(
            hasher
                .verify(Some(hash.clone()), &secret("correct horse"))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(Some(hash), &secret("correct horsf"))
                .await
                .unwrap()
        );
        assert!(!hasher.verify(None, &secret("correct horse")).await.unwrap());
        assert!(!hasher.verify(None, &secret("")).await.unwrap());
        assert!(
            !hasher
                .verify(Some("no hash".into()), &secret("x"))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn passwords_have_a_length() {
        let hasher = hasher(64, 1);
        assert_eq!(
            hasher.hash(&secret("ñandúes")).await,
            Err(PasswordError::TooShort)
        );
        assert!(hasher.hash(&secret("ñandúes!")).await.is_ok());
        assert_eq!(
            hasher.hash(&secret(&"x".repeat(1_025))).await,
            Err(PasswordError::TooLong)
        );
        assert!(
            !hasher
                .verify(None, &secret(&"x".repeat(1_000_000)))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_hash_with_the_settings_of_yesterday_is_known_and_still_checked() {
        let hash = hasher(64, 1).hash(&secret("correct horse")).await.unwrap();
        let today = hasher(128, 2);
        assert!(today.is_outdated(&hash) && !hasher(64, 1).is_outdated(&hash));
        assert!(
            today
                .verify(Some(hash), &secret("correct horse"))
                .await
                .unwrap()
        );
        assert!(
            !today.is_outdated(&today.nobody),
            "nobody's is as much work as a new one"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_is_refused_and_what_was_admitted_is_answered() {
        let hasher = hasher(4_096, 1);
        let checks = (0..300).map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move { hasher.verify(None, &secret("guess")).await })
        });
        let outcomes = futures::future::join_all(checks.collect::<Vec<_>>()).await;
        let refused = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Ok(Err(PasswordError::Busy))))
            .count();
        let wrong = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Ok(Ok(false))))
            .count();
        assert_eq!(refused + wrong, 300);
        assert!(
            refused > 0 && wrong >= MAX_WAITING,
            "{refused} refused, {wrong} checked"
        );
        assert_eq!(hasher.waiting.in_flight(), 0);
    }
}
