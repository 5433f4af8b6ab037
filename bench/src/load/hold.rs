//! Many connections that are all open at once.

use super::conversation::Subject;
use super::driver::{Driver, Plan, Then};
use super::{LoadOutcome, Tally};
use crate::clock::Clock;
use crate::paced::Request;
use anyhow::Result;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Opens connections and asks once on each, keeps all of them open for a while, then asks once more on each.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Whom to ask.
    pub target: SocketAddr,
    /// What to ask.
    pub request: Request,
    /// Connections open at once.
    pub connections: u32,
    /// How long all of them say nothing.
    pub silence: Duration,
    /// From connecting, and later from the second request, to the end of the answer; one that takes longer has failed.
    pub patience: Duration,
}

/// How the connections fared.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// Connecting and the first request; those answered are then open at once.
    pub opened: LoadOutcome,
    /// The second request on those.
    pub held: LoadOutcome,
}

impl Hold {
    /// Runs in the calling thread's network namespace.
    ///
    /// # Errors
    /// No connections; more than descriptors are allowed; `epoll` refuses. Failed requests are part of the outcome.
    pub fn run(&self) -> Result<Held> {
        let mut driver = Driver::new(Plan {
            subject: Subject { target: self.target, request: self.request, once: false },
            connections: self.connections,
            then: Then::Stay,
            patience: self.patience,
            requests: self.connections.into(),
        })?;
        let opened = round(&mut driver, self.connections.into())?;
        std::thread::sleep(self.silence);
        driver.ask_once_more();
        let held = round(&mut driver, opened.ok)?;
        Ok(Held { opened, held })
    }
}

/// Turns until so many requests have ended.
fn round(driver: &mut Driver, requests: u64) -> Result<LoadOutcome> {
    let (clock, mut tally) = (Clock::start(), Tally::default());
    while tally.ended() < requests {
        driver.turn(&mut tally)?;
    }
    Ok(tally.outcome(&clock))
}
