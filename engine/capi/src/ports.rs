//! Which sockets have which port of ours, and who may share one: the rules of `bind` and `listen`.

use crate::descriptors::FileId;
use crate::errno::{Errno, Result};
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use synward_proto::Endpoint;

/// The ports of one engine.
pub(crate) struct Ports {
    /// By port and socket: all connections of a listener have its port.
    claims: HashMap<u16, HashMap<FileId, Claim>>,
    /// Those that a socket gets that does not care.
    range: RangeInclusive<u16>,
    /// Where the search for the next begins.
    next: u16,
}

/// A socket that has a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// Whose it is.
    pub(crate) file: FileId,
    /// At which address, or at all of a family.
    pub(crate) address: IpAddr,
    /// SO_REUSEADDR.
    pub(crate) reuse: bool,
    /// Whether it listens.
    pub(crate) listens: bool,
}

impl Claim {
    /// Whether both cannot be (Linux: `inet_csk_bind_conflict`).
    fn is_against(&self, other: &Self) -> bool {
        let meet = self.address.is_ipv4() == other.address.is_ipv4()
            && (self.address == other.address || self.address.is_unspecified() || other.address.is_unspecified());
        let tolerate = self.reuse && other.reuse && !self.listens && !other.listens;
        self.file != other.file && meet && !tolerate
    }
}

impl Ports {
    /// Nobody has one; those who do not care get one of `range`.
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { claims: HashMap::new(), next: *range.start(), range }
    }

    /// Gives a socket its port, any that is free where `port` is zero.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(crate) fn claim(&mut self, claim: Claim, port: u16) -> Result<Endpoint> {
        let port = if port == 0 { self.free_port()? } else { port };
        let claims = self.claims.entry(port).or_default();
        if claims.values().any(|other| claim.is_against(other)) {
            return Err(Errno::ADDRESS_IN_USE);
        }
        claims.insert(claim.file, claim);
        Ok(Endpoint::new(claim.address, port))
    }

    /// A port that nobody has.
    fn free_port(&mut self) -> Result<u16> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let round = (self.next..=last).chain(first..self.next);
        let free = round.into_iter().find(|port| !self.claims.contains_key(port)).ok_or(Errno::ADDRESS_IN_USE)?;
        self.next = if free == last { first } else { free + 1 };
        Ok(free)
    }

    /// A connection from a listener has the listener's port, whoever else has it.
    pub(crate) fn join(&mut self, claim: Claim, port: u16) {
        self.claims.entry(port).or_default().insert(claim.file, claim);
    }

    /// Says that a socket listens or not.
    ///
    /// # Errors
    /// EADDRINUSE when somebody else listens there.
    pub(crate) fn set_listening(&mut self, file: FileId, port: u16, listens: bool) -> Result<()> {
        let Some(claims) = self.claims.get_mut(&port) else { return Ok(()) };
        let Some(&own) = claims.get(&file) else { return Ok(()) };
        let asked = Claim { listens, ..own };
        if listens && claims.values().any(|other| other.listens && asked.is_against(other)) {
            return Err(Errno::ADDRESS_IN_USE);
        }
        claims.insert(file, asked);
        Ok(())
    }

    /// Changes SO_REUSEADDR of a socket.
    pub(crate) fn set_reuse(&mut self, file: FileId, port: u16, reuse: bool) {
        if let Some(claim) = self.claims.get_mut(&port).and_then(|claims| claims.get_mut(&file)) {
            claim.reuse = reuse;
        }
    }

    /// Takes a port back.
    pub(crate) fn release(&mut self, file: FileId, port: u16) {
        let Some(claims) = self.claims.get_mut(&port) else { return };
        claims.remove(&file);
        if claims.is_empty() {
            self.claims.remove(&port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Ports};
    use crate::descriptors::FileId;
    use crate::errno::Errno;
    use std::net::IpAddr;

    fn claim(file: u64, address: [u8; 4], reuse: bool) -> Claim {
        Claim { file: FileId(file), address: IpAddr::from(address), reuse, listens: false }
    }

    const ANY: [u8; 4] = [0; 4];
    const ONE: [u8; 4] = [192, 0, 2, 1];
    const TWO: [u8; 4] = [192, 0, 2, 2];

    #[test]
    fn who_meets_whom() {
        for (first, second, agree) in [
            (claim(1, ONE, false), claim(2, ONE, false), false),
            (claim(1, ONE, false), claim(2, TWO, false), true),
            (claim(1, ONE, false), claim(2, ANY, false), false),
            (claim(1, ANY, true), claim(2, ONE, true), true),
            (claim(1, ANY, true), claim(2, ONE, false), false),
            (Claim { listens: true, ..claim(1, ONE, true) }, claim(2, ONE, true), false),
            (claim(1, ANY, false), Claim { address: IpAddr::from([0_u16; 8]), ..claim(2, ANY, false) }, true),
        ] {
            let mut ports = Ports::new(1..=1);
            ports.claim(first, 80).expect("the first");
            assert_eq!(ports.claim(second, 80).is_ok(), agree, "{first:?} {second:?}");
        }
    }

    #[test]
    fn of_two_who_share_one_listens() {
        let mut ports = Ports::new(1..=1);
        for file in [1, 2] {
            ports.claim(claim(file, ONE, true), 80).expect("shared");
        }
        assert_eq!(ports.set_listening(FileId(1), 80, true), Ok(()));
        assert_eq!(ports.set_listening(FileId(2), 80, true), Err(Errno::ADDRESS_IN_USE));
        ports.release(FileId(1), 80);
        assert_eq!(ports.set_listening(FileId(2), 80, true), Ok(()));
    }

    #[test]
    fn every_port_is_given_once_and_again_when_it_is_free() {
        let mut ports = Ports::new(10..=12);
        let next = |ports: &mut Ports, file| ports.claim(claim(file, ONE, true), 0).map(|end| end.port);
        assert_eq!([1, 2, 3].map(|file| next(&mut ports, file)), [Ok(10), Ok(11), Ok(12)]);
        assert_eq!(next(&mut ports, 4), Err(Errno::ADDRESS_IN_USE));
        ports.release(FileId(2), 11);
        assert_eq!(next(&mut ports, 4), Ok(11));
    }
}
