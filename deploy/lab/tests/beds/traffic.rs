//! What passes between hosts, and what does not.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use synward_lab::plan::Mac;
use synward_lab::{FrontWiring, Host, Lab, LabConfig, LabError, Pair, PairConfig, Role};

use crate::frames::{SYN, SYN_ACK, Wiretap, syn};
use crate::{Outcome, Tests, check, until};

pub fn tests() -> Tests {
    vec![
        ("a_lab_carries_at_once_without_retries", || lab_carries(FrontWiring::One)),
        ("a_front_with_an_interface_for_each_role_carries_at_once_without_retries", || {
            lab_carries(FrontWiring::PerRole)
        }),
        ("a_front_without_bridges_carries_at_once_without_retries", direct_lab_carries),
        ("each_role_reaches_the_front_by_its_own_interface", own_interfaces),
        ("without_permanent_neighbours_the_kernels_ask", || neighbours_are_asked(FrontWiring::One)),
        ("without_permanent_neighbours_the_kernels_ask_on_each_interface", || {
            neighbours_are_asked(FrontWiring::PerRole)
        }),
        ("a_pair_carries_at_once_without_retries", pair_carries),
        ("two_labs_at_once_do_not_meet", two_labs),
        ("loss_loses_its_share_both_ways", loss),
        ("loss_of_one_role_spares_the_others", || loss_of_a_role(FrontWiring::One)),
        ("loss_of_one_role_spares_the_others_on_interfaces_of_their_own", || loss_of_a_role(FrontWiring::PerRole)),
        ("an_answer_to_a_spoofed_source_is_dropped_in_silence", || spoofed(FrontWiring::One)),
        ("an_answer_to_a_spoofed_source_leaves_by_the_interface_of_the_attackers", || spoofed(FrontWiring::PerRole)),
        ("an_answer_to_a_spoofed_source_finds_the_attacker_without_a_bridge", || spoofed(FrontWiring::Direct)),
        ("the_switch_delivers_to_the_addressee_alone_whoever_claims_its_address", addressee),
        ("nobody_speaks_unless_spoken_to", silence),
    ]
}

/// A free port on every host.
const PORT: u16 = 80;
/// A port that the kernel picks: what a test binds again and again may still be open in a child between fork and exec.
pub const ANY: u16 = 0;

pub fn addresses(host: &Host) -> [IpAddr; 2] {
    [host.ipv4().into(), host.ipv6().into()]
}

pub fn connects(from: &Host, to: &Host) -> Outcome {
    for address in addresses(to) {
        let listener = to.enter(|| TcpListener::bind((address, ANY)))??;
        let at = listener.local_addr()?;
        let stream = from.enter(|| TcpStream::connect(at))??;
        let (accepted, peer) = listener.accept()?;
        check(addresses(from).contains(&peer.ip()), format!("{} connected to {address} as {peer}", from.name()))?;
        drop((stream, accepted));
    }
    let retries = [from.netstat()?, to.netstat()?].map(|counters| counters.get("TcpRetransSegs").copied());
    check(retries == [Some(0), Some(0)], format!("{} to {}: {retries:?} retries", from.name(), to.name()))
}

fn lab_carries(wiring: FrontWiring) -> Outcome {
    let lab = Lab::up(&LabConfig { clients: 3, attackers: 2, backends: 2, wiring, ..LabConfig::default() })?;
    for (hosts, role, count) in
        [(lab.clients(), "client", 3), (lab.attackers(), "attacker", 2), (lab.backends(), "backend", 2)]
    {
        check(hosts.len() == count, format!("{} {role}s", hosts.len()))?;
        for (host, number) in hosts.iter().zip(0..) {
            check(host.name() == format!("{role}{number}"), host.name())?;
            connects(host, lab.front())?;
        }
    }
    lab.backends().iter().try_for_each(|backend| connects_from_front(&lab, backend))
}

fn direct_lab_carries() -> Outcome {
    let lab = Lab::up(&LabConfig { backends: 1, wiring: FrontWiring::Direct, ..LabConfig::default() })?;
    for host in [lab.clients(), lab.attackers(), lab.backends()].concat() {
        connects(&host, lab.front())?;
    }
    connects_from_front(&lab, &lab.backends()[0])?;
    check(matches!(lab.set_loss(1.0), Err(LabError::Config(_))), "no switch, no loss in it")
}

/// The front reaches a backend, and does so from the address that is in the backend's subnet.
fn connects_from_front(lab: &Lab, backend: &Host) -> Outcome {
    let near = lab.front_towards(Role::Backend);
    for address in addresses(backend) {
        let listener = backend.enter(|| TcpListener::bind((address, ANY)))??;
        let at = listener.local_addr()?;
        let _stream = lab.front().enter(|| TcpStream::connect(at))??;
        let (_, peer) = listener.accept()?;
        let own = [IpAddr::V4(near.ipv4()), near.ipv6().into()];
        check(own.contains(&peer.ip()), format!("the front connected to {address} as {peer}"))?;
    }
    Ok(())
}

/// What one host of each role sends to the front's first addresses arrives on the interface of its role, and the answer leaves
/// by it.
fn own_interfaces() -> Outcome {
    let lab = Lab::up(&LabConfig { backends: 1, wiring: FrontWiring::PerRole, ..LabConfig::default() })?;
    let front = lab.front();
    check(front.interfaces().len() == 3, format!("{:?}", front.interfaces()))?;
    for (hosts, role) in
        [(lab.clients(), Role::Client), (lab.attackers(), Role::Attacker), (lab.backends(), Role::Backend)]
    {
        let [host, ..] = hosts else { return Err("no host".into()) };
        for address in addresses(front) {
            let near = Wiretap::on_interface(front, lab.front_towards(role).name())?;
            let listener = front.enter(|| TcpListener::bind((address, ANY)))??;
            let at = listener.local_addr()?;
            let _stream = host.enter(|| TcpStream::connect(at))??;
            near.next_tcp(SYN)?;
            near.next_tcp(SYN_ACK)?;
        }
    }
    Ok(())
}

fn neighbours_are_asked(wiring: FrontWiring) -> Outcome {
    let config = LabConfig { backends: 1, permanent_neighbours: false, wiring, ..LabConfig::default() };
    let lab = Lab::up(&config)?;
    for (host, role) in [(lab.clients(), Role::Client), (lab.backends(), Role::Backend)] {
        let [host, ..] = host else { return Err("no host".into()) };
        let known = |of: &Host| -> Result<String, Failed> {
            Ok(String::from_utf8(of.command("ip").args(["neigh", "show"]).output()?.stdout)?)
        };
        check(known(host)?.is_empty(), format!("known before: {}", known(host)?))?;
        connects(host, lab.front())?;
        let front = lab.front_towards(role);
        // Asked for is the front itself, or the gateway to it; the front asks back.
        for (of, address, mac) in [
            (host, IpAddr::from(front.ipv4()), front.mac()),
            (host, front.ipv6().into(), front.mac()),
            (lab.front(), host.ipv4().into(), host.mac()),
            (lab.front(), host.ipv6().into(), host.mac()),
        ] {
            let wanted = format!("{address} dev ");
            let table = known(of)?;
            let line = table.lines().find(|line| line.starts_with(&wanted)).unwrap_or_default();
            let learnt = line.contains(&Mac(mac).to_string()) && !line.contains("PERMANENT");
            check(learnt, format!("{} of {address}: {table}", of.name()))?;
        }
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

/// Sends so many datagrams while `lose` is in force, then one without loss; how many of the former arrived.
fn datagrams_that_pass(
    lab: &Lab,
    from: &Host,
    to: &Host,
    sent: usize,
    lose: impl Fn(&Lab) -> Result<(), LabError>,
) -> Result<usize, Failed> {
    let receiver = to.enter(|| UdpSocket::bind((to.ipv4(), ANY)))??;
    receiver.set_read_timeout(Some(Duration::from_secs(10)))?;
    let sender = from.enter(|| UdpSocket::bind((from.ipv4(), ANY)))??;
    sender.connect(receiver.local_addr()?)?;
    lose(lab)?;
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
            let passed = datagrams_that_pass(&lab, from, to, sent, |lab| lab.set_loss(percent))?;
            let found = format!("{} to {}: {passed} of {sent} passed at {percent} %", from.name(), to.name());
            check((fewest..=most).contains(&passed), found)?;
        }
    }
    check(lab.set_loss(101.0).is_err(), "more than everything")
}

fn loss_of_a_role(wiring: FrontWiring) -> Outcome {
    let lab = Lab::up(&LabConfig { backends: 1, wiring, ..LabConfig::default() })?;
    let ([client, ..], [backend, ..], front) = (lab.clients(), lab.backends(), lab.front()) else {
        return Err("no client or no backend".into());
    };
    let sent = 50;
    let lossy = |role, percent| move |lab: &Lab| lab.set_loss_of(role, percent);
    for (role, passed) in [(Role::Backend, [sent, 0]), (Role::Client, [0, sent])] {
        for (host, passed) in [client, backend].into_iter().zip(passed) {
            for (from, to) in [(host, front), (front, host)] {
                let found = datagrams_that_pass(&lab, from, to, sent, lossy(role, 100.0))?;
                let what = format!("{} to {}: {found} of {sent} in spite of the {role:?}s", from.name(), to.name());
                check(found == passed, what)?;
            }
        }
    }
    Ok(())
}

/// A SYN from a forged source reaches a kernel server, which answers; the answer reaches the attacker and provokes nothing,
/// even from an attacker that somebody made a router.
fn spoofed(wiring: FrontWiring) -> Outcome {
    let lab = Lab::up(&LabConfig { wiring, backends: 1, ..LabConfig::default() })?;
    let ([attacker, ..], front) = (lab.attackers(), lab.front()) else { return Err("no attacker".into()) };
    let near = lab.front_towards(Role::Attacker);
    for sysctl in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        check(attacker.sysctl(sysctl)? == "0", format!("{sysctl} is on"))?;
        attacker.set_sysctl(sysctl, "1")?;
    }
    let forged: [IpAddr; 2] = ["10.200.1.2".parse()?, "fd77:0:0:bad::1234".parse()?];
    for (source, address) in forged.into_iter().zip(addresses(front)) {
        let _listener = front.enter(|| TcpListener::bind((address, PORT)))??;
        let (near_attacker, near_front) = (Wiretap::on(attacker)?, Wiretap::on_interface(front, near.name())?);
        near_attacker.send(&syn((attacker.mac(), source, 1234), (near.mac(), address, PORT)))?;
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
