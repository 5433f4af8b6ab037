//! Sources that are hopeless: they send and send, and nobody there ever answers.
//!
//! Whoever forges a source can make it look so. So nobody is dropped who has brought a cookie home lately or has a connection now:
//! the poll loops are asked for those first.

use crate::control::report::TopSource;
use std::net::SocketAddr;
use std::time::Duration;
use synward_ebpf::{Prefix, Sample, TopSources};
use synward_engine::{ConnectionRow, Listing, Observer};
use synward_proto::Instant;

/// How long a turn of the counts is: then they are counts a second.
const TURN: Duration = Duration::from_secs(1);
/// Sources that are counted at once.
const COUNTED: usize = 1024;
/// For how many turns a source must have been counted, so that it had time to answer.
const TURNS_TO_ANSWER: u32 = 3;
/// An answer so many turns ago is no longer lately.
const TURNS_OF_PROOF: u32 = 300;
/// Sources that are shown.
const SHOWN: usize = 10;

/// The sources that send most of what proves nothing.
pub(super) struct Hopeless {
    sources: TopSources,
    turned: Instant,
    /// How many a second are too many; `None` for no bound.
    bound: Option<u32>,
    suspects: Option<Suspects>,
}

/// Those who seem hopeless, while the poll loops list their connections.
struct Suspects {
    sources: Vec<Prefix>,
    listing: Listing<ConnectionRow>,
}

impl Hopeless {
    /// Nobody is counted yet.
    pub(super) fn new(bound: Option<u32>, now: Instant) -> Self {
        Self { sources: TopSources::new(COUNTED), turned: now, bound, suspects: None }
    }

    /// Counts samples, and gives those who are hopeless: now and then, some.
    pub(super) fn look(&mut self, samples: &[Sample], observer: &Observer, now: Instant) -> Vec<Prefix> {
        samples.iter().for_each(|sample| self.sources.add(sample));
        if now.since(self.turned) >= TURN {
            self.turned = now;
            self.sources.turn();
            if self.suspects.is_none() {
                self.suspects = self.suspect(observer);
            }
        }
        self.convict()
    }

    /// Those who send most, the busiest first.
    pub(super) fn top(&self) -> Vec<TopSource> {
        let shown = |it: synward_ebpf::TopSource| TopSource {
            source: it.source.to_string(),
            unproven_per_second: it.unproven.saturating_sub(it.excess),
            proven_per_second: it.proven,
        };
        self.sources.iter().take(SHOWN).map(shown).collect()
    }

    fn suspect(&self, observer: &Observer) -> Option<Suspects> {
        let bound = self.bound?;
        let sources: Vec<Prefix> = (self.sources.iter())
            .take_while(|it| it.unproven >= bound.into())
            .filter(|it| is_hopeless(it, bound))
            .map(|it| it.source)
            .collect();
        if sources.is_empty() {
            return None;
        }
        // Where the poll loops have no time, there is another turn.
        observer.connections().ok().map(|listing| Suspects { sources, listing })
    }

    /// Goes on reading who has a connection, and gives the suspects who have none once all is read.
    fn convict(&mut self) -> Vec<Prefix> {
        let Some(suspects) = &mut self.suspects else { return Vec::new() };
        loop {
            match suspects.listing.try_next() {
                Ok(Some(rows)) if rows.is_empty() => return Vec::new(),
                Ok(Some(rows)) => rows.iter().for_each(|row| suspects.acquit(row)),
                Ok(None) => return self.suspects.take().map(|suspects| suspects.sources).unwrap_or_default(),
                Err(_) => {
                    self.suspects = None;
                    return Vec::new();
                }
            }
        }
    }
}

impl Suspects {
    fn acquit(&mut self, row: &ConnectionRow) {
        if let Ok(remote) = row.remote.parse::<SocketAddr>() {
            self.sources.retain(|source| !source.contains(remote.ip()));
        }
    }
}

/// Whether a source sends `bound` a second or more, and has had time to prove something, but has not lately.
fn is_hopeless(source: &synward_ebpf::TopSource, bound: u32) -> bool {
    let lately = source.turns_since_proof.is_some_and(|turns| turns <= TURNS_OF_PROOF);
    let surely = source.unproven.saturating_sub(source.excess);
    source.turns >= TURNS_TO_ANSWER && surely >= bound.into() && !lately
}

#[cfg(test)]
mod tests {
    use super::is_hopeless;
    use synward_ebpf::TopSource;

    #[test]
    fn much_without_an_answer_is_hopeless() {
        let hopeless = TopSource {
            source: "192.0.2.1".parse().unwrap(),
            unproven: 1000,
            excess: 0,
            proven: 0,
            turns: 3,
            turns_since_proof: None,
        };
        for (source, wanted) in [
            (hopeless, true),
            (TopSource { unproven: 999, ..hopeless }, false),
            (TopSource { excess: 1, ..hopeless }, false),
            (TopSource { unproven: 1500, excess: 500, ..hopeless }, true),
            (TopSource { turns: 2, ..hopeless }, false),
            (TopSource { turns_since_proof: Some(0), ..hopeless }, false),
            (TopSource { turns: 400, turns_since_proof: Some(300), ..hopeless }, false),
            (TopSource { turns: 400, turns_since_proof: Some(301), ..hopeless }, true),
        ] {
            assert_eq!(is_hopeless(&source, 1000), wanted, "{source:?}");
        }
    }
}
