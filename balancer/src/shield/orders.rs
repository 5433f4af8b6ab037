//! What others ask of the guard, which owns the programs' maps: by orders that wait in a queue, answered between its ticks.

use crate::control::report::{ListedPrefix, PrefixChange, Rate, ShieldReport};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::time::Duration;
use synward_ebpf::{ListVerdict, Prefix};
use tokio::sync::oneshot;

/// Orders that may wait.
const WAITING: usize = 64;
/// How long an answer may take: an order takes microseconds, and a list of all prefixes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<T>;

/// What the guard is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Report(Answer<Result<ShieldReport, Refused>>),
    Verdicts(Answer<Result<BTreeMap<String, Rate>, Refused>>),
    Prefixes(Answer<Vec<ListedPrefix>>),
    List { prefix: Prefix, verdict: ListVerdict, time: Option<Duration>, answer: Answer<Result<PrefixChange, Refused>> },
    Unlist { prefix: Prefix, answer: Answer<Result<PrefixChange, Refused>> },
    End,
}

/// Why the guard does not do what it was asked for; the message says what can be done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The order itself cannot be followed, or the kernel refuses.
    #[error("{0}")]
    Order(String),
    /// The guard has no time.
    #[error("too many orders wait for the guard; try again")]
    Busy,
    /// The guard did not answer.
    #[error("the guard did not answer in time")]
    TimedOut,
    /// The guard has ended, and the server is about to.
    #[error("the guard has ended")]
    Ended,
}

/// A way to the guard, from any thread. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct ShieldHandle {
    orders: Sender<Order>,
}

impl ShieldHandle {
    pub(super) fn new() -> (Self, Receiver<Order>) {
        let (orders, waiting) = bounded(WAITING);
        (Self { orders }, waiting)
    }

    /// What the shields do.
    ///
    /// # Errors
    /// When the guard does not answer, or the kernel does not show the counts.
    pub async fn report(&self) -> Result<ShieldReport, Refused> {
        self.ask(Order::Report).await?
    }

    /// What became of frames, by verdict, all interfaces together.
    ///
    /// # Errors
    /// When the guard does not answer, or the kernel does not show the counts.
    pub async fn verdicts(&self) -> Result<BTreeMap<String, Rate>, Refused> {
        self.ask(Order::Verdicts).await?
    }

    /// All prefixes that are listed.
    ///
    /// # Errors
    /// When the guard does not answer.
    pub async fn prefixes(&self) -> Result<Vec<ListedPrefix>, Refused> {
        self.ask(Order::Prefixes).await
    }

    /// Lists a prefix on all interfaces, for so long or for good, in place of how it was listed before.
    ///
    /// # Errors
    /// When that would cut off a backend, or there is no room; when the guard does not answer.
    pub async fn list(
        &self,
        prefix: Prefix,
        verdict: ListVerdict,
        time: Option<Duration>,
    ) -> Result<PrefixChange, Refused> {
        self.ask(|answer| Order::List { prefix, verdict, time, answer }).await?
    }

    /// Takes a prefix from whichever list it is in.
    ///
    /// # Errors
    /// When it is in none, or that would cut off a backend; when the guard does not answer.
    pub async fn unlist(&self, prefix: Prefix) -> Result<PrefixChange, Refused> {
        self.ask(|answer| Order::Unlist { prefix, answer }).await?
    }

    /// Has the guard end, after the orders that wait.
    pub(super) fn end(&self) {
        // It may have ended by itself.
        let _ = self.orders.send(Order::End);
    }

    async fn ask<T>(&self, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, Refused> {
        let (to, answer) = oneshot::channel();
        self.orders.try_send(order(to)).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Busy,
            TrySendError::Disconnected(_) => Refused::Ended,
        })?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answered) => answered.map_err(|_| Refused::Ended),
            Err(_) => Err(Refused::TimedOut),
        }
    }
}
