//! What passes between hosts, and what does not.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use synward_lab::{Host, Lab, LabConfig, Pair, PairConfig};

use crate::frames::{SYN_ACK, Wiretap, syn};
use crate::{Outcome, Tests, check, until};

pub fn tests() -> Tests {
    vec![
        ("a_lab_carries_at_once_without_retries", lab_carries),
        ("a_pair_carries_at_once_without_retries", pair_carries),
        ("two_labs_at_once_do_not_meet", two_labs),
        ("loss_loses_its_share_both_ways", loss),
        ("an_answer_to_a_spoofed_source_is_dropped_in_silence", spoofed),
        ("the_switch_delivers_to_the_addressee_alone_whoever_claims_its_address", addressee),
        ("nobody_speaks_unless_spoken_to", silence),
    ]
}

/// A free port on every host.
const PORT: u16 = 80;

fn addresses(host: &Host) -> [IpAddr; 2] {
    [host.ipv4().into(), host.ipv6().into()]
}

fn connects(from: &Host, to: &Host) -> Outcome {
    for address in addresses(to) {
        let listener = to.enter(|| TcpListener::bind((address, PORT)))??;
        let stream = from.enter(|| TcpStream::connect((address, PORT)))??;
        let (accepted, peer) = listener.accept()?;
        check(addresses(from).contains(&peer.ip()), format!("{} connected to {address} as {peer}", from.name()))?;
        drop((stream, accepted));
    }
    let retries = [from.netstat()?, to.netstat()?].map(|counters| counters.get("TcpRetransSegs").copied());
    check(retries == [Some(0), Some(0)], format!("{} to {}: {retries:?} retries", from.name(), to.name()))
}

fn lab_carries() -> Outcome {
    let lab = Lab::up(&LabConfig { clients: 3, attackers: 2, ..LabConfig::default() })?;
    check(lab.clients().len() == 3 && lab.attackers().len() == 2, "not as asked")?;
    for (host, number) in lab.clients().iter().zip(0..) {
        check(host.name() == format!("client{number}"), host.name())?;
        connects(host, lab.front())?;
    }
    for (host, number) in lab.attackers().iter().zip(0..) {
        check(host.name() == format!("attacker{number}"), host.name())?;
        connects(host, lab.front())?;
    }
    Ok(())
}

fn pair_carries() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    connects(pair.near(), pair.far())?;
    connects(pair.far(), pair.near())
}

fn two_labs() -> Outcome {
    let (one, two) = (Lab::up(&LabConfig::default())?, Lab::up(&LabConfig::default())?);
    check(one.id() != two.id(), "one id for two labs")?;
    let address = one.front().ipv4();
    check(address == two.front().ipv4(), "the labs would not even meet if they could")?;
    let _listener = one.front().enter(|| TcpListener::bind((address, PORT)))??;
    let ([client_one, ..], [client_two, ..]) = (one.clients(), two.clients()) else { return Err("no client".into()) };
    client_one.enter(|| TcpStream::connect((address, PORT)))??;
    let other = client_two.enter(|| TcpStream::connect((address, PORT)))?;
    check(other.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused), "a client reached the other lab")
}

/// Sends so many datagrams while a share is lost, then one without loss; how many of the former arrived.
fn datagrams_that_pass(lab: &Lab, from: &Host, to: &Host, sent: usize, percent: f64) -> Result<usize, Failed> {
    let receiver = to.enter(|| UdpSocket::bind((to.ipv4(), PORT)))??;
    receiver.set_read_timeout(Some(Duration::from_secs(10)))?;
    let sender = from.enter(|| UdpSocket::bind((from.ipv4(), PORT)))??;
    sender.connect((to.ipv4(), PORT))?;
    lab.set_loss(percent)?;
    for _ in 0..sent {
        sender.send(b"counted")?;
    }
    lab.set_loss(0.0)?;
    sender.send(b"last")?;
    let mut passed = 0;
    let mut datagram = [0; 16];
    while receiver.recv(&mut datagram)? != b"last".len() {
        passed += 1;
    }
    Ok(passed)
}

fn loss() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    let ([client, ..], front) = (lab.clients(), lab.front()) else { return Err("no client".into()) };
    // Few enough for the default receive buffer.
    let sent = 200;
    for (from, to) in [(client, front), (front, client)] {
        for (percent, fewest, most) in [(0.0, 200, 200), (100.0, 0, 0), (50.0, 40, 160)] {
            // At a half the number that passes is 100 with a standard deviation of 7; 60 either way is 8 of them.
            let passed = datagrams_that_pass(&lab, from, to, sent, percent)?;
            let found = format!("{} to {}: {passed} of {sent} passed at {percent} %", from.name(), to.name());
            check((fewest..=most).contains(&passed), found)?;
        }
    }
    check(lab.set_loss(101.0).is_err(), "more than everything")
}

/// A SYN from a forged source reaches a kernel server, which answers; the answer reaches the attacker and provokes nothing,
/// even from an attacker that somebody made a router.
fn spoofed() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    let ([attacker, ..], front) = (lab.attackers(), lab.front()) else { return Err("no attacker".into()) };
    for sysctl in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        check(attacker.sysctl(sysctl)? == "0", format!("{sysctl} is on"))?;
        attacker.set_sysctl(sysctl, "1")?;
    }
    let forged: [IpAddr; 2] = ["10.200.1.2".parse()?, "fd77:0:0:bad::1234".parse()?];
    for (source, address) in forged.into_iter().zip(addresses(front)) {
        let _listener = front.enter(|| TcpListener::bind((address, PORT)))??;
        let (near_attacker, near_front) = (Wiretap::on(attacker)?, Wiretap::on(front)?);
        near_attacker.send(&syn((attacker.mac(), source, 1234), (front.mac(), address, PORT)))?;
        near_front.next_tcp(SYN_ACK)?;
        let answer = near_attacker.next_tcp(SYN_ACK)?;
        check(answer.checksum() != 0, "no checksum at all")?;
        until("the attacker's kernel has looked at the answer", || {
            let count = |name| attacker.netstat().ok().and_then(|counters| counters.get(name).copied()).unwrap_or(0);
            count("IpInReceives") + count("Ip6InReceives") > 0
        })?;
        // A packet of the attacker's own: whatever the answer provoked would be on the wire before it.
        let socket =
            attacker.enter(|| UdpSocket::bind((addresses(attacker)[usize::from(address.is_ipv6())], PORT)))??;
        socket.send_to(b"last", (address, PORT))?;
        let next = near_front.next_to_a_host()?;
        check(next.ends_with(b"last"), format!("the attacker answered: {next:02x?}"))?;
    }
    let counters = attacker.netstat()?;
    for name in ["TcpOutRsts", "TcpOutSegs", "IcmpOutMsgs", "IpForwDatagrams", "Ip6OutForwDatagrams"] {
        check(counters.get(name) == Some(&0), format!("{name} is {:?}", counters.get(name)))?;
    }
    Ok(())
}

/// The first packet that the front hears after the lab is up is the first one that somebody sends on purpose.
fn silence() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    let ([client, ..], front) = (lab.clients(), lab.front()) else { return Err("no client".into()) };
    let tap = Wiretap::on(front)?;
    let socket = client.enter(|| UdpSocket::bind((client.ipv4(), PORT)))??;
    socket.send_to(b"first", (front.ipv4(), PORT))?;
    let next = tap.next_to_a_host()?;
    check(next.ends_with(b"first"), format!("somebody spoke first: {next:02x?}"))
}

/// An attacker that sends with the front's hardware address does not get the front's packets: the switch knows its stations,
/// and learns no others.
fn addressee() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    let ([client, ..], [attacker, ..], front) = (lab.clients(), lab.attackers(), lab.front()) else {
        return Err("no client or no attacker".into());
    };
    let stranger = [2, 0, 0, 0, 0, 0x99];
    for mac in [front.mac(), stranger] {
        let claim = syn((mac, front.ipv4().into(), 1), (client.mac(), client.ipv4().into(), 1));
        Wiretap::on(attacker)?.send(&claim)?;
    }
    let tap = Wiretap::on(attacker)?;
    let bind = |host: &Host| host.enter(|| UdpSocket::bind((host.ipv4(), PORT)));
    let (at_client, at_front) = (bind(client)??, bind(front)??);
    at_front.set_read_timeout(Some(Duration::from_secs(10)))?;
    at_client.send_to(b"to the front", (front.ipv4(), PORT))?;
    at_front.recv(&mut [0; 16])?;
    at_front.send_to(b"to the attacker", (attacker.ipv4(), PORT))?;
    let next = tap.next_to_a_host()?;
    check(next.ends_with(b"to the attacker"), format!("the attacker overheard {next:02x?}"))?;
    let switch = format!("synward-{}-switch", lab.id());
    let stations = String::from_utf8(Command::new("bridge").args(["-n", &switch, "fdb"]).output()?.stdout)?;
    check(stations.contains("02:53:59:01:00:00 dev to-front0"), stations.clone())?;
    check(!stations.contains("02:00:00:00:00:99"), stations)
}
