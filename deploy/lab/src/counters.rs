//! The counters of a namespace, read where `nstat` reads them and named as it names them.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Reads all counters of the calling thread's namespace.
///
/// By way of `thread-self`: `/proc/net` and `/proc/self/net` show the namespace of the main thread.
pub(crate) fn read() -> io::Result<BTreeMap<String, u64>> {
    let mut counters = BTreeMap::new();
    for file in ["netstat", "snmp"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
        counters.extend(paired_lines(&text));
    }
    counters.extend(single_lines(&fs::read_to_string("/proc/thread-self/net/snmp6")?));
    Ok(counters)
}

/// `netstat` and `snmp`: a line of names, then a line of values, both after the name of the group.
/// `TcpMaxConn` is no counter and may be negative; it is left out.
fn paired_lines(text: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs: Vec<_> = lines
        .chunks_exact(2)
        .filter_map(|pair| {
            let (group, names) = pair.first()?.split_once(':')?;
            let (again, values) = pair.get(1)?.split_once(':')?;
            (group == again).then_some((group, names, values))
        })
        .flat_map(|(group, names, values)| {
            let counters = names.split_whitespace().zip(values.split_whitespace());
            counters.filter_map(move |(name, value)| Some((format!("{group}{name}"), value.parse().ok()?)))
        })
        .collect();
    pairs.into_iter()
}

/// `snmp6`: a name that begins with its group, then the value.
fn single_lines(text: &str) -> impl Iterator<Item = (String, u64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_nstat() {
        let text = "TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 7 18446744073709551615\n\
                    Tcp: RtoAlgorithm MaxConn ActiveOpens\nTcp: 1 -1 5\n";
        let counters: BTreeMap<_, _> = paired_lines(text).collect();
        assert_eq!(counters.get("TcpExtSyncookiesSent"), Some(&7));
        assert_eq!(counters.get("TcpExtSyncookiesRecv"), Some(&u64::MAX));
        assert_eq!(counters.get("TcpActiveOpens"), Some(&5));
        assert_eq!(counters.get("TcpMaxConn"), None);
        assert_eq!(counters.len(), 4);

        let counters: BTreeMap<_, _> =
            single_lines("Ip6InReceives                   \t12\nIp6InHdrErrors \t0\n").collect();
        assert_eq!(counters, BTreeMap::from([("Ip6InReceives".into(), 12), ("Ip6InHdrErrors".into(), 0)]));
    }

    #[test]
    fn lines_that_do_not_belong_together_are_left_out() {
        assert_eq!(paired_lines("TcpExt: A B\nIpExt: 1 2\n").count(), 0);
        assert_eq!(paired_lines("TcpExt: A B\n").count(), 0);
        assert_eq!(single_lines("\nIp6InReceives\n").count(), 0);
    }
}
