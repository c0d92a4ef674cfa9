//! Whether the tokens that Gom issues give a role what it needs: its name among their permissions, and the claims of its rules.

use std::collections::BTreeSet;

use gom_engine::policy::{Policy, Role};

use super::{PolicyError, read};
use crate::datamodel::BuiltIn;
use crate::graphql::SUBJECT;
use crate::identity::{ACCOUNT_CLAIMS, TokenKind, names_itself};
use crate::settings::{Issuer, Provider, Settings};

/// Why no account can have a role.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// There is no policy that could be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Users have no access, since no policy belongs to this datamodel.
    #[error(
        "there is no policy for this datamodel, so an account could not do anything; name one with --policy (policy.file)"
    )]
    NoPolicy,
    /// The policy does not have the role.
    #[error("the policy has no role '{role}'; its roles are {}", .known.join(", "))]
    Unknown {
        /// The name that was given.
        role: String,
        /// The names of the policy's roles, sorted.
        known: Vec<String>,
    },
    /// The role's own name is not among its permissions, so its tokens would not name it.
    #[error(
        "the tokens of the role '{0}' would not name it, so that its accounts could not do anything: add \"role:{0}\" to \
         roles.{0}.permissions of the policy"
    )]
    Unnamed(String),
}

/// Whether an account can have the role: the policy has it, and tokens that Gom issues for it name it.
///
/// # Errors
/// What to correct.
pub fn check_role(
    settings: &Settings,
    built_in: Option<&BuiltIn>,
    role: &str,
) -> Result<(), RoleError> {
    let (_, policy) = read(settings, built_in)?.ok_or(RoleError::NoPolicy)?;
    let Some(found) = policy.roles.get(role) else {
        return Err(RoleError::Unknown {
            role: role.to_owned(),
            known: policy.roles.keys().cloned().collect(),
        });
    };
    if names_itself(role, &found.permissions) {
        Ok(())
    } else {
        Err(RoleError::Unnamed(role.to_owned()))
    }
}

/// What keeps tokens from a role or from what its rules compare, a line each: roles that the tokens of Gom's own issuing do not
/// name, and claims that they lack. Another issuer may give both, where `auth.provider` names one. `kinds`: the tokens that the
/// application issues.
pub fn unreachable(policy: &Policy, settings: &Settings, kinds: &[TokenKind]) -> Vec<String> {
    let issuers = settings.auth.issuers.as_slice();
    let elsewhere = match settings.auth.provider() {
        Provider::Accounts if issuers.is_empty() => "",
        _ => ", unless your issuer adds it",
    };
    policy
        .roles()
        .iter()
        .flat_map(|role| unreachable_of(role, policy, kinds, issuers, elsewhere))
        .collect()
}

fn unreachable_of(
    role: &Role,
    policy: &Policy,
    kinds: &[TokenKind],
    issuers: &[Issuer],
    elsewhere: &str,
) -> Vec<String> {
    let name = &role.name;
    let mut lines = Vec::new();
    if !names_itself(name, &role.permissions) {
        lines.push(format!(
            "{name}: no token that Gom issues has this role{elsewhere}; add \"role:{name}\" to roles.{name}.permissions"
        ));
    }
    let needed: BTreeSet<&str> = role.claims().chain(policy.stamps()).collect();
    for claim in needed {
        let of_a_kind = kinds.iter().any(|kind| kind.claims.contains(&claim));
        let of_an_issuer = issuers
            .iter()
            .any(|issuer| issuer.claims.contains_key(claim));
        let given = of_a_kind || of_an_issuer;
        if !ACCOUNT_CLAIMS.contains(&claim) && !given && claim != SUBJECT {
            lines.push(format!(
                "{name}: no token that Gom issues has the claim ${claim}{elsewhere}, and without it every request of the role \
                 fails; its claims are ${}",
                ACCOUNT_CLAIMS.join(", $")
            ));
        }
    }
    lines
}
