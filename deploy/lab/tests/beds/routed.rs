//! Two hosts with a router between them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use synward_lab::{Host, RoutedPair, RoutedPairConfig};

use crate::traffic::{ANY, addresses, connects};
use crate::{Outcome, Tests, check};

pub fn tests() -> Tests {
    vec![
        ("a_routed_pair_carries_at_once_without_retries", carries),
        ("a_router_tells_both_hosts_what_is_too_large", too_large),
        ("a_router_loses_its_share_in_the_direction_asked_for", loss),
    ]
}

fn carries() -> Outcome {
    let pair = RoutedPair::up(&RoutedPairConfig::default())?;
    connects(pair.near(), pair.far())?;
    connects(pair.far(), pair.near())
}

/// More than fits in one packet goes through all the same, and the sender's kernel was told why it must be cut smaller.
fn too_large() -> Outcome {
    for from_near in [true, false] {
        // Anew for each direction: a host that has been told asks the other for smaller segments, too.
        let pair = RoutedPair::up(&RoutedPairConfig { path_mtu: 1280, ..RoutedPairConfig::default() })?;
        let (from, to) = if from_near { (pair.near(), pair.far()) } else { (pair.far(), pair.near()) };
        for (address, counter) in addresses(to).into_iter().zip(["IcmpInDestUnreachs", "Icmp6InPktTooBigs"]) {
            let listener = to.enter(|| TcpListener::bind((address, ANY)))??;
            let at = listener.local_addr()?;
            let mut stream = from.enter(|| TcpStream::connect(at))??;
            stream.write_all(&[7; 16 * 1024])?;
            stream.shutdown(Shutdown::Write)?;
            let mut got = Vec::new();
            listener.accept()?.0.read_to_end(&mut got)?;
            check(got == [7; 16 * 1024], format!("{} bytes came to {address}", got.len()))?;
            let told = from.netstat()?.get(counter).copied();
            check(told.is_some_and(|told| told > 0), format!("{counter} of {} is {told:?}", from.name()))?;
        }
    }
    Ok(())
}

fn loss() -> Outcome {
    let pair = RoutedPair::up(&RoutedPairConfig::default())?;
    pair.set_loss_towards_near(100.0)?;
    check(!passes(pair.far(), pair.near())? && passes(pair.near(), pair.far())?, "only what goes to near is lost")?;
    pair.set_loss_towards_near(0.0)?;
    pair.set_loss_towards_far(100.0)?;
    check(passes(pair.far(), pair.near())? && !passes(pair.near(), pair.far())?, "only what goes to far is lost")
}

/// Whether a datagram comes through. One that does is there when it has been sent, or soon.
fn passes(from: &Host, to: &Host) -> Result<bool, libtest_mimic::Failed> {
    let receiver = to.enter(|| UdpSocket::bind((to.ipv4(), ANY)))??;
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    let sender = from.enter(|| UdpSocket::bind((from.ipv4(), ANY)))??;
    sender.send_to(b"here", receiver.local_addr()?)?;
    Ok(receiver.recv(&mut [0; 4]).is_ok())
}
