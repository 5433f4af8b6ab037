//! Opens of ours through a VLAN: the tags of the link stand on every frame, and the peer's on every answer.

use crate::bed::{CLIENT_LINK, SERVER, SERVER_V6, config, small_budget};
use crate::peer::{Wire, read};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use synward_engine::{ConnectConfig, SocketError};
use synward_proto::segment::VlanTag;
use synward_proto::wire::{HEADROOM, write_segment};
use synward_proto::{Endpoint, Flags, Head, Link, Marking, Options, Segment, SeqNum, Tuple};

const OUTER: VlanTag = VlanTag { protocol: 0x88a8, control: 100 };
const INNER: VlanTag = VlanTag { protocol: 0x8100, control: 0x2007 };

/// The answer to `sent`, by the way that it came.
fn answer(sent: &Segment, flags: Flags, seq: u32, options: Options) -> Vec<u8> {
    let (tuple, ack) = (Tuple { local: sent.tuple.local, remote: sent.tuple.remote }, sent.seq + sent.seq_len());
    let head = Head { tuple, seq: SeqNum(seq), ack, flags, window: 0xffff, options, marking: Marking::DEFAULT };
    let mut frame = vec![0; HEADROOM];
    let len = write_segment(&mut frame, &sent.link, &head);
    frame.truncate(len);
    frame
}

#[test]
fn every_frame_of_an_open_has_the_tags_of_its_link() {
    let v4 = Endpoint::new(IpAddr::from([198, 51, 100, 9]), 80);
    let v6 = Endpoint::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)), 80);
    for (local, remote) in [(SERVER, v4), (SERVER_V6, v6)] {
        for (outer, inner) in [(None, None), (Some(INNER), None), (Some(OUTER), Some(INNER))] {
            let mut wire = Wire::new(config(2), small_budget());
            let link = Link { outer, inner, ..CLIENT_LINK };
            let tags = |frame: &[u8]| (read(frame).link.outer, read(frame).link.inner);
            let socket = wire.host.sockets.connect(ConnectConfig::new(local, remote, link)).expect("connects");
            let mut sent = wire.exchange([]);
            wire.now += Duration::from_secs(1);
            sent.extend(wire.exchange([]));
            assert_eq!(sent.iter().map(|frame| tags(frame)).collect::<Vec<_>>(), [(outer, inner); 2], "SYNs");
            let syn = read(&sent[1]);
            let acks = wire.exchange([answer(&syn, Flags::SYN | Flags::ACK, 500, syn.options).as_slice()]);
            assert_eq!(acks.iter().map(|frame| tags(frame)).collect::<Vec<_>>(), [(outer, inner)], "the third segment");
            assert_eq!(wire.host.sockets.send(socket, b"hello"), Ok(5));
            let data = wire.exchange([]);
            assert_eq!(data.iter().map(|frame| tags(frame)).collect::<Vec<_>>(), [(outer, inner)], "data");
            wire.host.sockets.abort(socket).expect("aborts");
            let resets = wire.exchange([]);
            assert_eq!(resets.iter().map(|frame| tags(frame)).collect::<Vec<_>>(), [(outer, inner)], "the reset");
        }
    }
}

/// Linux lets a socket connect to itself, over its loopback device; here such frames would leave and never come back.
#[test]
fn nobody_connects_to_the_own_address() {
    let mut wire = Wire::new(config(2), small_budget());
    for remote in [SERVER, Endpoint { port: 80, ..SERVER }] {
        let refused = wire.host.sockets.connect(ConnectConfig::new(SERVER, remote, CLIENT_LINK));
        assert_eq!(refused, Err(SocketError::Invalid));
    }
    assert!(wire.exchange([]).is_empty());
}
