//! Load on a server from one thread: as many connections at once as are asked for, each of which asks again as soon as it was
//! answered.
//!
//! The loop is closed: a slow server gets less load, and what counts is how much it carries. For how it serves those who come
//! at their own pace there is [`paced`](crate::paced).
//!
//! The connections are kernel sockets, polled by `epoll` from the calling thread and in its network namespace. The generator
//! shares its machine with what it measures, so it is made to be cheap: a connection is registered once, and nothing is read
//! before `epoll` says that there is something.

mod conversation;
mod driver;
mod hold;
mod question;

use crate::clock::Clock;
use crate::quantile::Quantiles;
use anyhow::Result;
use conversation::Subject;
use driver::{Driver, Plan, Then};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use synward_lab::{Host, LabError};

pub use crate::paced::Request;
pub use hold::{Held, Hold};

/// A run of load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Whom to ask.
    pub target: SocketAddr,
    /// What to ask.
    pub request: Request,
    /// Connections at once.
    pub connections: u32,
    /// When a connection ends.
    pub style: Style,
    /// When the run ends.
    pub until: Until,
    /// From the start of a conversation to the end of its answer; one that takes longer has failed.
    pub patience: Duration,
}

/// When a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// After one answer: what counts is connections a second. An answer over HTTP ends with the server's close.
    ConnectEach,
    /// Never: what counts is requests a second.
    KeepAlive,
}

/// When a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many requests have been answered or have failed.
    Requests(u64),
    /// When this time is over. What is under way then is not counted.
    Elapsed(Duration),
}

/// How the requests fared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoadOutcome {
    /// Requests answered.
    pub ok: u64,
    /// The others, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// How long the run took.
    pub seconds: f64,
    /// Median time of those answered: from connect with [`Style::ConnectEach`], else from the request.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// The slowest of the same.
    pub max_ms: f64,
    /// CPU time of the generator's thread, system time included. What the kernel does on its behalf counts here too: on veth a
    /// sender carries its packet into the receiver, unless that polls in a thread of its own.
    pub cpu_seconds: f64,
}

impl LoadOutcome {
    /// Requests answered a second.
    pub fn rate(&self) -> f64 {
        self.ok as f64 / self.seconds
    }

    /// Requests that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl Load {
    /// Runs in the calling thread's network namespace.
    ///
    /// # Errors
    /// No connections; more than descriptors are allowed; `epoll` refuses. Failed requests are part of the outcome.
    pub fn run(&self) -> Result<LoadOutcome> {
        let clock = Clock::start();
        let mut tally = Tally::default();
        let mut driver = Driver::new(self.plan())?;
        let over = |tally: &Tally| match self.until {
            Until::Requests(count) => tally.ended() >= count,
            Until::Elapsed(time) => clock.elapsed() >= time,
        };
        while !over(&tally) {
            driver.turn(&mut tally)?;
        }
        Ok(tally.outcome(&clock))
    }

    fn plan(&self) -> Plan {
        let (once, then) = match self.style {
            Style::ConnectEach => (true, Then::ConnectAgain),
            Style::KeepAlive => (false, Then::AskAgain),
        };
        let requests = match self.until {
            Until::Requests(count) => count,
            Until::Elapsed(_) => u64::MAX,
        };
        let subject = Subject { target: self.target, request: self.request, once };
        Plan { subject, connections: self.connections, then, patience: self.patience, requests }
    }
}

/// Lets a client open tens of thousands of connections a second to one address: sources from all of the unprivileged ports,
/// and those that wait in TIME-WAIT again after a second (`tcp_tw_reuse`, safe with timestamps).
///
/// # Errors
/// The namespace has no such sysctls.
pub fn widen_ports(client: &Host) -> Result<(), LabError> {
    client.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535")?;
    client.set_sysctl("net.ipv4.tcp_tw_reuse", "1")
}

/// What has been seen so far.
#[derive(Debug, Default)]
struct Tally {
    times: Quantiles,
    answered: u64,
    failed: u64,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    fn answered(&mut self, time: Duration) {
        self.answered += 1;
        self.times.add(time);
    }

    fn failed(&mut self, error: &io::Error) {
        self.failed += 1;
        *self.failures.entry(error.to_string()).or_default() += 1;
    }

    fn ended(&self) -> u64 {
        self.answered + self.failed
    }

    fn outcome(mut self, clock: &Clock) -> LoadOutcome {
        LoadOutcome {
            ok: self.answered,
            seconds: clock.elapsed().as_secs_f64(),
            p50_ms: self.times.millis(0.50),
            p99_ms: self.times.millis(0.99),
            max_ms: self.times.millis(1.0),
            cpu_seconds: clock.cpu().as_secs_f64(),
            failures: self.failures,
        }
    }
}
