//! What is known of drivers and their zero-copy mode: the table `zero-copy.tsv`.

use std::fs;

/// The table: driver, `yes` or `no`, first release of Linux, least frame size and source in each line.
const TABLE: &str = include_str!("../zero-copy.tsv");

/// The frame size where no driver asks for more: what a full Ethernet frame fits in with the headroom.
pub(crate) const SMALL_FRAME: u16 = 2048;

/// A release of Linux, such as 6.18.
type Release = (u16, u16);

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    driver: &'static str,
    /// From which release on zero-copy is asked for; `None`: it must be demanded.
    trusted_from: Option<Release>,
    least_frame: u16,
}

/// The driver under an interface, on the running kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Driver {
    /// Its name, where sysfs shows it (most virtual devices have none).
    pub(crate) name: Option<String>,
    /// Whether zero-copy is asked for where any mode will do.
    pub(crate) trusted: bool,
    /// In smaller frames, in zero-copy mode, it spreads packets over several.
    pub(crate) least_frame: u16,
}

impl Driver {
    /// The driver of `interface`, in the network namespace whose `/sys` this thread sees.
    pub(crate) fn of(interface: &str) -> Self {
        let link = fs::read_link(format!("/sys/class/net/{interface}/device/driver")).ok();
        let name = link.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
        let running = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::known(name, release(&running))
    }

    /// What the table says of the driver called `name` on Linux `running`.
    fn known(name: Option<String>, running: Option<Release>) -> Self {
        let line = name.as_deref().and_then(|name| lines().find(|line| line.driver == name));
        let from = line.and_then(|line| line.trusted_from);
        Self {
            name,
            trusted: from.zip(running).is_some_and(|(from, running)| running >= from),
            least_frame: line.map_or(SMALL_FRAME, |line| line.least_frame),
        }
    }
}

fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(parse)
}

fn parse(line: &'static str) -> Option<Line> {
    let mut columns = line.split('\t');
    let [driver, zero_copy, from, frame, _source] = std::array::from_fn(|_| columns.next());
    let trusted_from = match zero_copy? {
        "yes" => Some(release(from?)?),
        _ => None,
    };
    Some(Line { driver: driver?, trusted_from, least_frame: frame?.parse().ok()? })
}

/// The first two numbers of a version such as `6.18.44-cloud`.
fn release(version: &str) -> Option<Release> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_line_of_the_table_is_whole() {
        let table: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        for line in &table {
            let columns: Vec<_> = line.split('\t').collect();
            assert_eq!(columns.len(), 5, "{line}");
            assert!(matches!(columns[1..3], ["yes", _] | ["no", "-"]), "{line}");
            assert!(matches!(parse(line).map(|line| line.least_frame), Some(2048 | 4096)), "{line}");
            assert!(columns.iter().all(|column| !column.is_empty()), "{line}");
        }
        let names: BTreeSet<_> = lines().map(|line| line.driver).collect();
        assert_eq!(names.len(), table.len(), "each driver once");
    }

    #[test]
    fn zero_copy_is_asked_for_only_with_drivers_and_kernels_known_good() {
        for (driver, running, trusted) in [
            (Some("virtio_net"), "6.18.44-fc", true),
            (Some("virtio_net"), "7.3.4+deb13-amd64", true),
            (Some("virtio_net"), "6.12.95", false),
            (Some("virtio_net"), "6.9.0", false),
            (Some("virtio_net"), "", false),
            (Some("igb"), "6.18", true),
            (Some("ice"), "7.3", false),
            (Some("ena"), "7.3", false),
            (Some("nobody_knows"), "7.3", false),
            (None, "7.3", false),
        ] {
            let known = Driver::known(driver.map(str::to_owned), release(running));
            assert_eq!(known.trusted, trusted, "{driver:?} on {running}");
        }
    }

    #[test]
    fn frames_are_larger_where_small_ones_would_split_packets() {
        for (driver, least_frame) in [
            (Some("igb"), 4096),
            (Some("igc"), 4096),
            (Some("virtio_net"), 2048),
            (Some("nobody_knows"), 2048),
            (None, 2048),
        ] {
            assert_eq!(Driver::known(driver.map(str::to_owned), None).least_frame, least_frame, "{driver:?}");
        }
    }

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(release("6.18.44-fc-v669\n"), Some((6, 18)));
        assert_eq!(release("7.3.4+deb13-amd64"), Some((7, 3)));
        assert!(release("6.9") < release("6.18"));
        for nonsense in ["", "x", "6", "6.", "-6.1", "99999.1"] {
            assert_eq!(release(nonsense), None, "{nonsense:?}");
        }
    }
}
