//! Receive-side scaling: on which queue of the device a connection's segments arrive.

mod ethtool;
mod toeplitz;

use std::io;
use std::net::IpAddr;
use synward_proto::Tuple;
use toeplitz::{LONGEST_INPUT, Toeplitz};

/// What a device hashes of a TCP segment to find its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashedFields {
    /// Source and destination address.
    Addresses,
    /// The addresses and both ports.
    AddressesAndPorts,
}

/// How a device spreads TCP over its receive queues: a Toeplitz hash of where a segment comes from and goes to, and a table
/// from hashes to queues. What a device *says* about itself may be wrong: check it with a frame before relying on it.
#[derive(Clone, Debug)]
pub struct Rss {
    toeplitz: Box<Toeplitz>,
    indirection: Vec<u32>,
    v4: HashedFields,
    v6: HashedFields,
}

impl Rss {
    /// The shortest key that covers addresses and ports of IPv6, in bytes. It is also the usual length.
    pub const KEY_LEN: usize = toeplitz::KEY_LEN;

    /// A device with this key (bytes past the [`Self::KEY_LEN`]th are of no effect), this table of queue numbers, and these
    /// fields in the hash of IPv4 and IPv6. `None` when the key is too short or the table empty.
    #[must_use]
    pub fn new(key: &[u8], indirection: Vec<u32>, v4: HashedFields, v6: HashedFields) -> Option<Self> {
        let toeplitz = Box::new(Toeplitz::new(key.first_chunk()?));
        (!indirection.is_empty()).then_some(Self { toeplitz, indirection, v4, v6 })
    }

    /// Asks the driver of an interface in the calling thread's network namespace. `None` where the queue of a tuple cannot
    /// be foretold: the driver tells no hash (as veth's), or another one than Toeplitz over the fields as they are, or one
    /// of other fields than [`HashedFields`].
    ///
    /// # Errors
    /// There is no such interface, or the driver fails to answer.
    pub fn read(interface: &str) -> io::Result<Option<Self>> {
        let said =
            ethtool::read(interface).map_err(|error| io::Error::new(error.kind(), format!("{interface}: {error}")));
        Ok(said?.and_then(|said| Self::new(&said.key, said.indirection, said.v4, said.v6)))
    }

    /// Whether connections between the same hosts are spread, too.
    #[must_use]
    pub fn tells_ports_apart(&self) -> bool {
        [self.v4, self.v6].iter().all(|fields| *fields == HashedFields::AddressesAndPorts)
    }

    /// Whether every one of so many queues gets connections, and no other.
    #[must_use]
    pub fn reaches(&self, queues: usize) -> bool {
        let named = |queue: usize| self.indirection.iter().any(|&entry| entry as usize == queue);
        (0..queues).all(named) && self.indirection.iter().all(|&entry| (entry as usize) < queues)
    }

    /// The receive queue on which segments of a connection arrive. The device sees the peer as the source.
    #[must_use]
    pub fn queue_of(&self, tuple: &Tuple) -> u32 {
        let hash = self.hash(tuple);
        // The table is not empty; usually its size is a power of two, and this takes the low bits of the hash.
        self.indirection[hash as usize % self.indirection.len()]
    }

    fn hash(&self, tuple: &Tuple) -> u32 {
        let mut input = [0; LONGEST_INPUT];
        let (addresses, fields) = match (tuple.remote.addr, tuple.local.addr) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                input[..4].copy_from_slice(&source.octets());
                input[4..8].copy_from_slice(&destination.octets());
                (8, self.v4)
            }
            _ => {
                input[..16].copy_from_slice(&tuple.remote.addr_bytes());
                input[16..32].copy_from_slice(&tuple.local.addr_bytes());
                (32, self.v6)
            }
        };
        let len = match fields {
            HashedFields::Addresses => addresses,
            HashedFields::AddressesAndPorts => {
                input[addresses..addresses + 2].copy_from_slice(&tuple.remote.port.to_be_bytes());
                input[addresses + 2..addresses + 4].copy_from_slice(&tuple.local.port.to_be_bytes());
                addresses + 4
            }
        };
        self.toeplitz.hash(&input[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::HashedFields::{Addresses, AddressesAndPorts};
    use super::Rss;
    use std::net::SocketAddr;
    use synward_proto::Tuple;

    /// The key of Microsoft's "Verifying the RSS hash calculation".
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ];

    /// Its vectors: destination, source, hash of the addresses, hash of addresses and ports.
    const VECTORS: [(&str, &str, u32, u32); 8] = [
        ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
        ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
        ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
        ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
        ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
        ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
        ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
        ("[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", 0x4b61_e985, 0x02d1_feef),
    ];

    fn tuple(local: &str, remote: &str) -> Tuple {
        let endpoint = |text: &str| text.parse::<SocketAddr>().expect(text).into();
        Tuple { local: endpoint(local), remote: endpoint(remote) }
    }

    #[test]
    fn hashes_are_those_that_microsoft_published() {
        for (destination, source, addresses, with_ports) in VECTORS {
            let tuple = tuple(destination, source);
            let hash = |v4, v6| Rss::new(&KEY, vec![0], v4, v6).expect("a device").hash(&tuple);
            assert_eq!(hash(Addresses, Addresses), addresses, "{tuple:?}");
            assert_eq!(hash(AddressesAndPorts, AddressesAndPorts), with_ports, "{tuple:?}");
            let (only_v4, only_v6) = if tuple.is_ipv6() { (addresses, with_ports) } else { (with_ports, addresses) };
            assert_eq!(hash(AddressesAndPorts, Addresses), only_v4, "{tuple:?}");
            assert_eq!(hash(Addresses, AddressesAndPorts), only_v6, "{tuple:?}");
        }
    }

    #[test]
    fn the_table_says_which_queue_a_hash_means() {
        // Hash 0x51ccc178: 120 modulo 128, 68 modulo 100.
        let tuple = tuple("161.142.100.80:1766", "66.9.149.187:2794");
        for (size, index) in [(128, 120), (100, 0x51cc_c178 % 100), (1, 0)] {
            let mut table = vec![3; size];
            table[index] = 5;
            let rss = Rss::new(&KEY, table, AddressesAndPorts, Addresses).expect("a device");
            assert_eq!(rss.queue_of(&tuple), 5, "a table of {size}");
        }
    }

    #[test]
    fn a_short_key_and_an_empty_table_foretell_nothing() {
        assert!(Rss::new(&KEY[..39], vec![0], Addresses, Addresses).is_none());
        assert!(Rss::new(&KEY, vec![], Addresses, Addresses).is_none());
        let long = [&KEY[..], &[0xff; 12]].concat();
        let (rss, long) =
            (Rss::new(&KEY, vec![0], Addresses, Addresses), Rss::new(&long, vec![0], Addresses, Addresses));
        let tuple = tuple("[::1]:1", "[::2]:2");
        assert_eq!(rss.map(|rss| rss.hash(&tuple)), long.map(|rss| rss.hash(&tuple)));
    }

    #[test]
    fn the_loopback_interface_has_none_and_a_missing_one_is_named() {
        assert!(Rss::read("lo").expect("it can be asked").is_none());
        for missing in ["no-such-link", "much-too-long-for-a-name", ""] {
            let error = Rss::read(missing).expect_err("there is none").to_string();
            assert!(error.starts_with(&format!("{missing}: ")) && error.contains("No such device"), "{error}");
        }
    }
}
