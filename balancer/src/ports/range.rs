//! A range of source ports for active opens, kept free of the kernel's own connections.

use super::kernel_sockets::{self, KernelSocket};
use super::record::{self, Record};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Ports that the kernel gives to nobody who asks for just any, as a list of ranges.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// The two ends of what it gives to those who do.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The longest list: two of every three ports, with a comma or the line's end behind each pair. The kernel gives a list by
/// one read, cut off where the reader's memory ends.
const LONGEST_LIST: usize = 65_536_usize.div_ceil(3) * "65534-65535,".len();

/// A range of ports that the kernel does not choose for its own connections while this exists; then exactly those that were
/// added are given back. What a killed process has left behind becomes that of the next one that reserves any here.
///
/// A program that asks for such a port by number still gets it.
#[derive(Debug)]
pub struct ReservedRange {
    list: ReservedPorts,
    added: BTreeSet<u16>,
    /// None where it could not be written; then what a kill leaves behind stays reserved.
    _record: Option<Record>,
}

/// Reserves source ports at some of this host's addresses in the calling thread's network namespace.
///
/// The list is the kernel's, and can only be read and written as a whole: what another program changes between the two is
/// lost, as it would be between two other programs.
///
/// # Errors
/// The range is empty or contains port 0; it would leave the kernel no port of its own; a socket of the kernel's TCP has a
/// port of the range at one of the addresses or at the wildcard, in any state but TIME-WAIT; the list cannot be written.
pub fn reserve_range(addresses: &[IpAddr], ports: RangeInclusive<u16>) -> Result<ReservedRange> {
    let name = format!("source ports {}-{}", ports.start(), ports.end());
    ensure!(!ports.is_empty(), "{name}: the first port is after the last");
    ensure!(*ports.start() > 0, "{name}: there is no port 0");
    // First reserved, then looked at: after this the kernel takes none by itself.
    let reserved = ReservedRange::add(&ports).with_context(|| name.clone())?;
    refuse_if_held(addresses, &ports).context(name)?;
    Ok(reserved)
}

impl ReservedRange {
    fn add(ports: &RangeInclusive<u16>) -> Result<Self> {
        let list = ReservedPorts::open()?;
        let mut before = list.read()?;
        let left_behind = left_behind()?;
        if !left_behind.is_empty() {
            before = &before - &left_behind;
            list.write(&before)?;
        }
        let added: BTreeSet<u16> = ports.clone().filter(|port| !before.contains(port)).collect();
        let after = &before | &added;
        let ephemeral = ephemeral_ports()?;
        ensure!(
            ephemeral.is_empty() || ephemeral.clone().any(|port| !after.contains(&port)),
            "that leaves the kernel's own connections no port: net.ipv4.ip_local_port_range is {}-{}; choose another range",
            ephemeral.start(),
            ephemeral.end()
        );
        // First on record: a kill may come in between.
        let record = Record::write(Path::new(record::FOLDER), &list_of(&added));
        let record = record.inspect_err(|error| tracing::warn!("{}: source ports: {error}", record::FOLDER)).ok();
        list.write(&after)?;
        Ok(Self { list, added, _record: record })
    }

    fn give_back(&self) -> Result<()> {
        self.list.write(&(&self.list.read()? - &self.added))
    }
}

impl Drop for ReservedRange {
    fn drop(&mut self) {
        if let Err(error) = self.give_back() {
            tracing::warn!("source ports stay reserved: {error:#}");
        }
    }
}

/// What processes that were killed have left reserved here.
fn left_behind() -> Result<BTreeSet<u16>> {
    let folder = Path::new(record::FOLDER);
    let lists = record::take_over(folder).context(record::FOLDER)?;
    Ok(lists.iter().filter_map(|list| parse(list)).flatten().collect())
}

/// The list in the network namespace of the thread that opened it, whichever thread uses it later.
#[derive(Debug)]
struct ReservedPorts(File);

impl ReservedPorts {
    fn open() -> Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(true).open(RESERVED).context(RESERVED)?))
    }

    fn read(&self) -> Result<BTreeSet<u16>> {
        let mut bytes = vec![0; LONGEST_LIST];
        let len = self.0.read_at(&mut bytes, 0).context(RESERVED)?;
        let text = str::from_utf8(&bytes[..len]).context(RESERVED)?;
        parse(text).with_context(|| format!("{RESERVED}: {text:?} is not a list of ports"))
    }

    /// A long list takes several calls; the kernel adds what the later ones write to what the first one wrote.
    fn write(&self, ports: &BTreeSet<u16>) -> Result<()> {
        self.0.write_all_at(list_of(ports).as_bytes(), 0).context(RESERVED)
    }
}

/// Reads `80,1024-2000`.
fn parse(list: &str) -> Option<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for item in list.trim().split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        ports.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
    }
    Some(ports)
}

fn list_of(ports: &BTreeSet<u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let items = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    items.collect::<Vec<_>>().join(",") + "\n"
}

fn ephemeral_ports() -> Result<RangeInclusive<u16>> {
    let text = std::fs::read_to_string(EPHEMERAL).context(EPHEMERAL)?;
    let mut ends = text.split_whitespace().map(str::parse::<u16>);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok(first..=last),
        _ => bail!("{EPHEMERAL}: {text:?} is not a range of ports"),
    }
}

fn refuse_if_held(addresses: &[IpAddr], ports: &RangeInclusive<u16>) -> Result<()> {
    let sockets = kernel_sockets::all().map_err(explain).context("listing the kernel's sockets")?;
    let mut held = sockets.iter().filter(|socket| socket.holds(addresses, ports));
    let Some(KernelSocket { local, inactive, .. }) = held.next() else { return Ok(()) };
    let others = match held.count() {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    let options = if *inactive { "-Btnp" } else { "-tanp" };
    bail!(
        "{local} is in use by a program on the kernel's TCP{others}: see `ss {options} 'sport = {}'`, or choose another range",
        local.port()
    )
}

fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            io::Error::other("the kernel was built without CONFIG_INET_DIAG, or has not loaded tcp_diag")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_LIST, list_of, parse, reserve_range};
    use std::collections::BTreeSet;

    #[test]
    fn a_list_reads_as_it_was_written() {
        for list in ["\n", "80\n", "80,82\n", "80-81\n", "0,80-90,100,65534-65535\n", "0-65535\n"] {
            assert_eq!(list_of(&parse(list).expect(list)), list);
        }
        assert_eq!(parse("80-90,85-95,79"), Some((79..=95).collect()));
    }

    #[test]
    fn no_list_is_longer_than_the_longest() {
        // One, two or three ports, then one that is missing, wherever that begins.
        for every in 2..=4 {
            for gap in 0..every {
                let list = list_of(&(0..=u16::MAX).filter(|port| port % every != gap).collect());
                assert!(list.len() <= LONGEST_LIST, "{} {every} {gap}", list.len());
                assert!(every != 3 || list.len() > LONGEST_LIST / 20 * 19, "{} is far from it", list.len());
            }
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["x", "80,x", "80-", "-80", "65536", "1-65536", "80;81"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(""), Some(BTreeSet::new()));
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for (first, last, wanted) in [(2000, 1000, "the first port is after the last"), (0, 10, "there is no port 0")] {
            let error = reserve_range(&[], first..=last).expect_err(wanted).to_string();
            assert_eq!(error, format!("source ports {first}-{last}: {wanted}"));
        }
    }
}
