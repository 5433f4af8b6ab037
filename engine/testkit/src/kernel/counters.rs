//! The kernel's counters, under the names that `nstat` and our engine use.

use std::fs;

/// The value of a counter of group `Tcp` or `TcpExt` in the calling thread's namespace.
pub(super) fn read(name: &str) -> Option<u64> {
    ["snmp", "netstat"].into_iter().find_map(|file| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok()?;
        find(&text, name)
    })
}

/// Looks `name` up in pairs of lines `Group: Name …` and `Group: value …`.
fn find(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let group = names.split(':').next();
        if !matches!(group, Some("Tcp" | "TcpExt")) {
            continue;
        }
        if let Some(index) = names.split_whitespace().position(|found| found == name) {
            return values.split_whitespace().nth(index)?.parse().ok();
        }
    }
    None
}

/// How many connections of the calling thread's namespace are half open (state SYN_RECV of `/proc/net/tcp`).
pub(super) fn half_open() -> u64 {
    const SYN_RECV: &str = "03";
    let rows = ["tcp", "tcp6"].into_iter().filter_map(|file| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok()?;
        Some(text.lines().skip(1).filter(|row| row.split_whitespace().nth(3) == Some(SYN_RECV)).count() as u64)
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_counter_is_found_by_the_name_above_it() {
        let text = "Tcp: RtoMin ActiveOpens\nTcp: 200 7\nIp: InReceives\nIp: 4\nTcpExt: ListenDrops\nTcpExt: 9\n";
        assert_eq!(find(text, "ActiveOpens"), Some(7));
        assert_eq!(find(text, "ListenDrops"), Some(9));
        assert_eq!(find(text, "InReceives"), None);
    }
}
