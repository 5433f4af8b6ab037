//! Single segments that nobody has asked for, and clients for whom there is no room.

use crate::bed::{Bed, HTTP, Plan};
use anyhow::{Context, Result, ensure};
use std::net::TcpStream;
use std::time::Duration;
use synward_lab::Role;
use synward_proto::segment::SynOptions;
use synward_proto::wire::{HEADROOM, SegmentWriter};
use synward_proto::{Endpoint, Flags, Head, Link, MacAddr, Marking, Options, SeqNum, Tuple};

/// How long a client waits that is to get no answer.
const NO_ANSWER: Duration = Duration::from_millis(1500);

pub fn each_under_its_own_counter() -> Result<()> {
    let bed = Plan::attacked("shield = \"always\"").up()?;
    let (before, resets) = (bed.stat()?, bed.stat()?.counters["OutRsts"]);
    for (verdict, flags, payload) in [
        ("dropped_ack", Flags::ACK, &b""[..]),
        ("dropped_data", Flags::ACK | Flags::PSH, b"GET /"),
        ("dropped_fin", Flags::FIN | Flags::ACK, b""),
        ("dropped_rst", Flags::RST, b""),
        ("dropped_syn_ack", Flags::SYN | Flags::ACK, b""),
    ] {
        let counted = bed.verdict(verdict)?;
        send(&bed, flags, payload)?;
        bed.eventually(verdict, || Ok(bed.verdict(verdict)? == counted + 1))?;
    }
    let refused = bed.shield()?.listeners[0].refused.total;
    ensure!(refused == 5, "{refused} segments refused");
    let after = bed.stat()?;
    ensure!(after.counters["OutRsts"] == resets && after.counters["InSegs"] == before.counters["InSegs"], "{after:?}");
    bed.check_drained()
}

/// Sends one segment of no connection to the listener.
fn send(bed: &Bed, flags: Flags, payload: &[u8]) -> Result<()> {
    let (client, front) = (bed.client(), bed.lab.front_towards(Role::Client));
    let head = Head {
        tuple: Tuple {
            local: Endpoint::new(client.ipv4().into(), 4242),
            remote: Endpoint::new(front.ipv4().into(), HTTP),
        },
        seq: SeqNum(1),
        ack: SeqNum(7),
        flags,
        window: 1000,
        options: if flags.contains(Flags::SYN) { Options::Syn(SynOptions::default()) } else { Options::NONE },
        marking: Marking::DEFAULT,
    };
    let link = Link { local: MacAddr(client.mac()), remote: MacAddr(front.mac()), outer: None, inner: None };
    let mut frame = vec![0; HEADROOM + payload.len()];
    let mut writer = SegmentWriter::new(&mut frame, &link, &head);
    writer.append(payload);
    let length = writer.finish();
    client.enter(|| synward_lab::send_frame(client.interface(), &frame[..length]))?.context("packet socket")
}

/// One client is served, two more than the backlog wait; full is more than the limit.
pub fn full_accept_queue() -> Result<()> {
    let bed = Plan::attacked("shield = \"always\"\nbacklog = 1\nmax_connections = 1").up()?;
    let connect = || bed.client().enter(|| TcpStream::connect_timeout(&bed.address(), NO_ANSWER));
    let mut clients = vec![connect()??];
    bed.eventually("a client that is served", || Ok(bed.pools()?.listeners[0].clients == 1))?;
    for _ in 0..2 {
        clients.push(connect()??);
    }
    let full = || bed.verdict("dropped_accept_queue_full");
    bed.eventually("a full accept queue", || {
        // Whoever still gets in fills it.
        clients.extend(connect()?.ok());
        Ok(full()? > 0)
    })?;
    let answered = bed.verdict("answered_cookie")?;
    ensure!(connect()?.is_err(), "a client got in");
    ensure!(bed.verdict("answered_cookie")? == answered, "a cookie for which there is no room");
    clients.clear();
    bed.eventually("room again", || Ok(connect()?.is_ok()))
}
