//! What connections have learnt about the paths to their peers, for those that come after them (Linux: route exceptions).

use siphasher::sip::SipHasher13;
use std::net::IpAddr;
use std::time::Duration;
use synward_proto::connection::Connection;
use synward_proto::{Endpoint, Instant};

/// Sets of places; a peer's address chooses one of them.
const SETS: usize = 256;
/// Places of a set.
const WAYS: usize = 4;
/// How long a path is remembered (Linux: `mtu_expires`).
const LIFE: Duration = Duration::from_secs(600);

/// The MTUs of paths that are smaller than the interface's, by peer: at most 1,024. Only what a connection has believed comes
/// here, and a full set gives up the entry that has the least time left, so that whoever lies about paths to many peers makes
/// us forget others, at the worst.
#[derive(Debug)]
pub(crate) struct PathMtus {
    /// Peers choose their addresses: hashed under a secret.
    hasher: SipHasher13,
    sets: Box<[[Option<Known>; WAYS]]>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    peer: IpAddr,
    mtu: u16,
    expires: Instant,
}

impl PathMtus {
    /// Nothing known.
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        // Drawn from the key rather than cut from it: the key has another use.
        let hasher = SipHasher13::new_with_key(key);
        let own_key = [hasher.hash(b"path mtus 0"), hasher.hash(b"path mtus 1")];
        Self { hasher: SipHasher13::new_with_keys(own_key[0], own_key[1]), sets: vec![[None; WAYS]; SETS].into() }
    }

    /// The path to `peer` carries no more than `mtu` bytes.
    pub(crate) fn learn(&mut self, now: Instant, peer: IpAddr, mtu: u16) {
        let set = self.set_of(peer);
        let set = &mut self.sets[set];
        let left = |place: &Option<Known>| match place {
            Some(known) if known.peer == peer => None,
            Some(known) => Some(known.expires.since(now)),
            None => Some(Duration::ZERO),
        };
        // That of this peer, else a free one, else the oldest.
        if let Some(place) = set.iter_mut().min_by_key(|place| left(place)) {
            *place = Some(Known { peer, mtu, expires: now + LIFE });
        }
    }

    /// The MTU of the path to `peer`, where it is known to be smaller than the interface's.
    pub(crate) fn get(&self, now: Instant, peer: IpAddr) -> Option<u16> {
        let set = &self.sets[self.set_of(peer)];
        let known = set.iter().flatten().find(|known| known.peer == peer && known.expires > now)?;
        Some(known.mtu)
    }

    /// Tells a new connection what is known of its path.
    pub(crate) fn tell(&self, now: Instant, connection: &mut Connection) {
        if let Some(mtu) = self.get(now, connection.tuple().remote.addr) {
            connection.begin_with_path_mtu(now, mtu);
        }
    }

    /// The set of a peer; IPv4 addresses count in their mapped form.
    fn set_of(&self, peer: IpAddr) -> usize {
        self.hasher.hash(&Endpoint::new(peer, 0).addr_bytes()) as usize % SETS
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFE, PathMtus, SETS, WAYS};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;
    use synward_proto::Instant;

    const NOW: Instant = Instant::from_millis(1_000_000);

    fn peer(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 | number).into()
    }

    #[test]
    fn a_path_is_remembered_for_ten_minutes_and_by_peer() {
        let mut known = PathMtus::new(&[1; 16]);
        let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        known.learn(NOW, peer(1), 1400);
        known.learn(NOW, v6, 1280);
        let late = NOW + (LIFE - Duration::from_nanos(1));
        for now in [NOW, late] {
            let wanted = [Some(1400), Some(1280), None];
            assert_eq!([peer(1), v6, peer(2)].map(|peer| known.get(now, peer)), wanted);
        }
        assert_eq!(known.get(NOW + LIFE, peer(1)), None);
        known.learn(late, peer(1), 1300);
        assert_eq!(known.get(NOW + LIFE, peer(1)), Some(1300), "what was learnt last, from then on");
    }

    /// However many peers there are, those that were learnt last are known, and the oldest of a full set goes.
    #[test]
    fn the_oldest_gives_way() {
        let mut known = PathMtus::new(&[2; 16]);
        let all = 4 * (SETS * WAYS) as u32;
        for number in 0..all {
            known.learn(NOW + Duration::from_millis(number.into()), peer(number), 1400);
        }
        let now = NOW + Duration::from_millis(all.into());
        let remembered: Vec<u32> = (0..all).filter(|&number| known.get(now, peer(number)).is_some()).collect();
        assert!(remembered.len() <= SETS * WAYS && remembered.len() > SETS * WAYS * 9 / 10);
        let set = |number: u32| known.set_of(peer(number));
        for &number in &remembered {
            let newer = (number + 1..all).filter(|&other| set(other) == set(number)).count();
            assert!(newer < WAYS, "{newer} newer ones in the set of {number}");
        }
    }
}
