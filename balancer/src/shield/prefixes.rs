//! The prefixes that are listed, the same on all interfaces, and who listed them.

use super::orders::Refused;
use crate::config::{MAX_PREFIXES, deciding};
use crate::control::report::{ListSizes, ListedPrefix, PrefixChange};
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;
use synward_ebpf::{EbpfError, ListVerdict, Listed, Prefix, Shield};
use synward_proto::Instant;

/// Prefixes that the guard lists at most at once, so that it leaves room for those of people.
const MOST_HOPELESS: usize = MAX_PREFIXES as usize / 8;

/// A backend that must not be cut off.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name in messages: `web/web-1`.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// What is listed and by whom. The lists themselves are the programs'; the first stands for all.
#[derive(Debug)]
pub(super) struct Prefixes {
    backends: Vec<Backend>,
    /// Those that the guard listed.
    hopeless: HashSet<Prefix>,
    /// Those that a command listed; the others are from the configuration.
    commanded: HashSet<Prefix>,
}

/// How a prefix is to be listed; `None` takes it from the list.
type Wanted = Option<(ListVerdict, Option<u64>)>;

impl Prefixes {
    /// What the configuration lists is listed already.
    pub(super) fn new(backends: Vec<Backend>) -> Self {
        Self { backends, hopeless: HashSet::new(), commanded: HashSet::new() }
    }

    /// Lists a prefix by command.
    ///
    /// # Errors
    /// When that would cut off a backend, or the lists are full.
    pub(super) fn list(
        &mut self,
        shields: &mut [Shield],
        prefix: Prefix,
        verdict: ListVerdict,
        (now, time): (Instant, Option<Duration>),
    ) -> Result<PrefixChange, Refused> {
        let wanted = Some((verdict, time.map(|time| (now + time).as_nanos())));
        let before = self.change(shields, prefix, wanted, now)?;
        self.hopeless.remove(&prefix);
        self.commanded.insert(prefix);
        Ok(PrefixChange { before, now: self.shown_at(shields, prefix, now) })
    }

    /// Takes a prefix from the list by command.
    ///
    /// # Errors
    /// When it is not listed, or that would cut off a backend.
    pub(super) fn unlist(
        &mut self,
        shields: &mut [Shield],
        prefix: Prefix,
        now: Instant,
    ) -> Result<PrefixChange, Refused> {
        let [first, ..] = shields else { return Err(not_listed(prefix, None)) };
        if first.prefix_list().get(prefix).is_none() {
            let list = first.prefix_list();
            let around = deciding(prefix.address(), |around| list.get(around).map(|listed| listed.verdict));
            return Err(not_listed(
                prefix,
                around.map(|(around, _)| around).filter(|it| it.length() < prefix.length()),
            ));
        }
        let before = self.change(shields, prefix, None, now)?;
        self.forget(prefix);
        Ok(PrefixChange { before, now: None })
    }

    /// Drops what comes from a hopeless source, unless a prefix around it is listed already, or so many are hopeless that one more does
    /// not matter. Whether it is dropped now.
    ///
    /// # Errors
    /// When the lists are full, or the kernel refuses.
    pub(super) fn drop_hopeless(
        &mut self,
        shields: &mut [Shield],
        source: Prefix,
        expiry: Instant,
    ) -> Result<bool, EbpfError> {
        let Some(first) = shields.first_mut() else { return Ok(false) };
        let list = first.prefix_list();
        let decided = deciding(source.address(), |prefix| list.get(prefix).map(|listed| listed.verdict)).is_some();
        let protected = self.backends.iter().any(|backend| source.contains(backend.address));
        if decided || protected || self.hopeless.len() >= MOST_HOPELESS {
            return Ok(false);
        }
        put(shields, source, Some((ListVerdict::Drop, Some(expiry.as_nanos()))))?;
        self.hopeless.insert(source);
        Ok(true)
    }

    /// Takes what has expired from the lists.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn sweep(&mut self, shields: &mut [Shield], now: Instant) -> Result<(), EbpfError> {
        for shield in shields {
            for prefix in shield.prefix_list().sweep(now.as_nanos())? {
                self.forget(prefix);
            }
        }
        Ok(())
    }

    /// All that is listed.
    pub(super) fn all(&self, shields: &mut [Shield], now: Instant) -> Vec<ListedPrefix> {
        let Some(first) = shields.first_mut() else { return Vec::new() };
        first.prefix_list().iter().map(|listed| self.shown(listed, now)).collect()
    }

    /// How many are listed.
    pub(super) fn sizes(&self, shields: &mut [Shield]) -> ListSizes {
        let mut sizes =
            ListSizes { limit: MAX_PREFIXES.into(), hopeless: self.hopeless.len() as u64, ..ListSizes::default() };
        let Some(first) = shields.first_mut() else { return sizes };
        for listed in first.prefix_list().iter() {
            match listed.verdict {
                ListVerdict::Drop => sizes.dropped += 1,
                ListVerdict::Allow => sizes.allowed += 1,
            }
        }
        sizes
    }

    fn forget(&mut self, prefix: Prefix) {
        self.hopeless.remove(&prefix);
        self.commanded.remove(&prefix);
    }

    /// Changes how a prefix is listed, unless that would cut off a backend. Says how it was listed before.
    fn change(
        &self,
        shields: &mut [Shield],
        prefix: Prefix,
        wanted: Wanted,
        now: Instant,
    ) -> Result<Option<ListedPrefix>, Refused> {
        let before = self.shown_at(shields, prefix, now);
        if let Some(first) = shields.first_mut() {
            let list = first.prefix_list();
            let after = |other: Prefix| match other == prefix {
                true => wanted.map(|(verdict, _)| verdict),
                false => list.get(other).map(|listed| listed.verdict),
            };
            spares_backends(&self.backends, prefix, after)?;
        }
        put(shields, prefix, wanted).map_err(|error| Refused::Order(error.to_string()))?;
        Ok(before)
    }

    fn shown_at(&self, shields: &mut [Shield], prefix: Prefix, now: Instant) -> Option<ListedPrefix> {
        let listed = shields.first_mut()?.prefix_list().get(prefix)?;
        Some(self.shown(listed, now))
    }

    fn shown(&self, listed: Listed, now: Instant) -> ListedPrefix {
        let Listed { prefix, verdict, expiry } = listed;
        let by = match (self.hopeless.contains(&prefix), self.commanded.contains(&prefix)) {
            (true, _) => "guard",
            (false, true) => "command",
            (false, false) => "configuration",
        };
        let left = |expiry| Instant::from_nanos(expiry).since(now).as_millis().div_ceil(1000);
        ListedPrefix {
            prefix: prefix.to_string(),
            verdict: word(verdict).to_owned(),
            by: by.to_owned(),
            expires_seconds: expiry.map(left).map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX)),
        }
    }
}

/// The word for a verdict in documents.
pub(super) const fn word(verdict: ListVerdict) -> &'static str {
    match verdict {
        ListVerdict::Drop => "drop",
        ListVerdict::Allow => "allow",
    }
}

/// Lists a prefix on all interfaces, or takes it from all; on none where one refuses.
fn put(shields: &mut [Shield], prefix: Prefix, wanted: Wanted) -> Result<(), EbpfError> {
    for index in 0..shields.len() {
        let list = shields[index].prefix_list();
        let before = list.get(prefix).map(|listed| (listed.verdict, listed.expiry));
        if let Err(error) = put_in(list, prefix, wanted) {
            for shield in &mut shields[..index] {
                // Room was made there, or was there before.
                let _ = put_in(shield.prefix_list(), prefix, before);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn put_in(list: &mut synward_ebpf::PrefixList, prefix: Prefix, wanted: Wanted) -> Result<bool, EbpfError> {
    match wanted {
        Some((verdict, expiry)) => list.insert(prefix, verdict, expiry),
        None => list.remove(prefix),
    }
}

fn not_listed(prefix: Prefix, around: Option<Prefix>) -> Refused {
    Refused::Order(match around {
        Some(around) => format!("{prefix} is in no list by itself, but lies within {around}, which is"),
        None => format!("{prefix} is in no list; `synward shield --lists` shows what is"),
    })
}

/// Whether no backend is dropped after a change of `prefix`.
fn spares_backends(
    backends: &[Backend],
    prefix: Prefix,
    after: impl Fn(Prefix) -> Option<ListVerdict>,
) -> Result<(), Refused> {
    for Backend { name, address } in backends.iter().filter(|backend| prefix.contains(backend.address)) {
        if let Some((within, ListVerdict::Drop)) = deciding(*address, &after) {
            return Err(Refused::Order(format!(
                "backend {name} at {address} would be dropped, since it lies within {within}; \
                 `synward allow {address}` first, or block less"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Backend, spares_backends};
    use std::collections::BTreeMap;
    use synward_ebpf::{ListVerdict, Prefix};

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn no_change_cuts_off_a_backend() {
        let backends = [Backend { name: "web/web-1".to_owned(), address: "10.0.0.11".parse().unwrap() }];
        let refuses = |list: &[(&str, ListVerdict)], changed: &str| {
            let list: BTreeMap<_, _> = list.iter().map(|(text, verdict)| (prefix(text), *verdict)).collect();
            let after = |other| list.get(&other).copied();
            spares_backends(&backends, prefix(changed), after).err().map(|error| error.to_string())
        };
        use ListVerdict::{Allow, Drop};
        let why = "backend web/web-1 at 10.0.0.11 would be dropped, since it lies within 10.0.0.0/8; \
                   `synward allow 10.0.0.11` first, or block less";
        assert_eq!(refuses(&[("10.0.0.0/8", Drop)], "10.0.0.0/8").as_deref(), Some(why));
        // What is longer decides, and the one that is taken away may have been it.
        assert_eq!(refuses(&[("10.0.0.0/8", Drop), ("10.0.0.8/29", Allow)], "10.0.0.0/8"), None);
        assert_eq!(refuses(&[("10.0.0.0/8", Drop)], "10.0.0.8/29").as_deref(), Some(why));
        assert!(refuses(&[("10.0.0.0/8", Allow), ("10.0.0.11", Drop)], "10.0.0.11/32").is_some());
        assert_eq!(refuses(&[("10.0.0.0/24", Drop)], "192.0.2.0/24"), None);
        assert_eq!(refuses(&[("::/0", Drop)], "::/0"), None);
    }
}
