//! Where the demo takes place: namespaces, web servers behind the front, and which core is whose.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use synward_bench::flood::{Attack, FloodConfig};
use synward_bench::peers::Web;
use synward_lab::{FrontWiring, Lab, LabConfig, Role};

/// Where the front listens.
pub(super) const HTTP: u16 = 80;
/// Where the web servers listen.
const WEB: u16 = 8080;
const BACKENDS: u16 = 2;

/// The lab with its web servers, which end before it does.
pub(super) struct Bed {
    pub(super) webs: Vec<Web>,
    pub(super) lab: Lab,
    pub(super) cores: Cores,
}

impl Bed {
    /// Builds the lab and starts the web servers.
    pub(super) fn up() -> Result<Self> {
        let config = LabConfig { backends: BACKENDS, wiring: FrontWiring::PerRole, ..LabConfig::default() };
        let (lab, cores) = (Lab::up(&config)?, Cores::of_this_process()?);
        let webs = lab.backends().iter().map(|host| Web::start(host, WEB, &cores.others)).collect::<Result<_>>()?;
        Ok(Self { webs, lab, cores })
    }

    /// Where the web servers are.
    pub(super) fn backends(&self) -> Vec<SocketAddr> {
        self.lab.backends().iter().map(|host| SocketAddr::new(host.ipv4().into(), WEB)).collect()
    }

    /// Where clients find the front, over IPv4 and over IPv6.
    pub(super) fn front(&self) -> [SocketAddr; 2] {
        let towards = self.lab.front_towards(Role::Client);
        let addresses: [IpAddr; 2] = [towards.ipv4().into(), towards.ipv6().into()];
        addresses.map(|address| SocketAddr::new(address, HTTP))
    }

    /// A flood of SYNs at the front, from the first attacker.
    pub(super) fn flood(&self, rate: u64, duration: Duration) -> FloodConfig {
        let [target, _] = self.front();
        let mac = self.lab.front_towards(Role::Attacker).mac();
        let interface = self.lab.attackers()[0].interface();
        FloodConfig { rate, attack: Attack::Syn, duration, ..FloodConfig::new(interface, mac, target) }
    }
}

/// Which core is whose. The flood generator spins, and its frames are received where it runs, so it has a core for itself where
/// there are two: neither front is slowed by what no attacker would do on its machine. The fronts get the same single core.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cores {
    /// The flood generator's.
    pub(super) flood: Vec<usize>,
    /// Of synward's poll loops, and of the proxy in their place.
    pub(super) front: Vec<usize>,
    /// Of the clients and the web servers: the front's where there are no more.
    pub(super) others: Vec<usize>,
}

impl Cores {
    fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
        Ok(Self::of(&cores))
    }

    /// One core is everybody's.
    fn of(cores: &[usize]) -> Self {
        match cores {
            [] | [_] => Self::default(),
            [front, others @ .., flood] => {
                let others = if others.is_empty() { vec![*front] } else { others.to_vec() };
                Self { flood: vec![*flood], front: vec![*front], others }
            }
        }
    }

    /// For the list of modes.
    pub(super) fn described(&self) -> String {
        let Self { flood, front, others } = self;
        if flood.is_empty() {
            return "one, for everything".to_owned();
        }
        format!("flood {flood:?}, front {front:?}, clients and web servers {others:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::Cores;

    #[test]
    fn the_flood_has_a_core_for_itself_where_there_are_two() {
        for (cores, flood, front, others) in [
            (&[3][..], &[][..], &[][..], &[][..]),
            (&[0, 1], &[1], &[0], &[0]),
            (&[0, 2, 5], &[5], &[0], &[2]),
            (&[0, 1, 2, 3], &[3], &[0], &[1, 2]),
        ] {
            let wanted = Cores { flood: flood.to_vec(), front: front.to_vec(), others: others.to_vec() };
            assert_eq!(Cores::of(cores), wanted);
        }
    }
}
