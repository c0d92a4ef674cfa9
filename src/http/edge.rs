//! What the edge holds beside the API: sessions, limits, identity, and how browsers are dealt with. One for the
//! process.

use gom_actors::limiter::LoginLimiter;
use gom_actors::sessions::Sessions;

use super::client_address::TrustedProxies;
use super::origin::Origins;
use super::site_cookies::SiteCookies;
use crate::identity::Identity;
use crate::shop::customers::Customers;

pub struct Edge {
    pub sessions: Sessions,
    pub limiter: LoginLimiter,
    pub identity: Identity,
    pub cookies: SiteCookies,
    pub proxies: TrustedProxies,
    pub origins: Origins,
    /// Nothing, if the datamodel has no customers who could log in.
    pub customers: Option<Customers>,
}
