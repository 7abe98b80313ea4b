//! How long the requests of one account take while others attack, beside quiet: `beside_attackers [ROUNDS] [first]
//! [WORD…]`, where words choose the attacks whose names hold one of them.
//!
//! Quiet and attacked phases take turns, each attack beside a quiet of its own, so that whatever else the machine does
//! meets both. Server, account and attackers each have a runtime of their own; the cores they share, the attackers
//! after the others. With `first`, server and account have all the processor time that they can use before anybody else
//! has any, which only root can arrange: what is left then is what the server itself lets the account wait, for its own
//! work on what the attackers ask. Nothing is asserted about times; that the account's requests succeed is.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod measurement;
#[cfg(test)]
mod scene;
#[cfg(test)]
#[path = "../../tests/server/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the server need more of it")]
mod support;

fn main() {
    #[cfg(test)]
    measurement::run();
}
