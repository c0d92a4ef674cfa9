//! Logins in a loop: right ones, of which each makes a session, and wrong ones, of which each costs a hash.

use crate::attack::{Attack, Ends, assert_withstood};
use crate::shop::{PASSWORD, Shop};

#[actix_web::test]
async fn logins_in_a_loop_neither_delay_others_nor_take_memory() {
    let shop = Shop::open(&[]).await;
    let mut hostile = shop.seller("attacker").await;
    // From a device that has logged in before, and without its session, which would answer for it.
    hostile.jar.retain(|name, _| name == "device");
    let attack = |name: &'static str,
                  (username, password): (&'static str, &'static str),
                  ends: Ends| Attack {
        name,
        request: Box::new(move |mut browser, _| {
            Box::pin(async move { browser.by_password(username, password).await })
        }),
        at_once: 16,
        ends,
    };
    let attacks = [
        attack("right logins", ("attacker", PASSWORD), Ends::Answered),
        attack("wrong passwords", ("nobody", "a guess"), Ends::Forbidden),
    ];
    assert_withstood(&shop, &hostile, attacks).await;
}
