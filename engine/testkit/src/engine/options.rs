//! The engine's socket options, by a script's names.

use crate::script::{Algorithm, Setting, Setup};
use synward_proto::connection::{CongestionAlgorithm, Ecn, Keepalive, SocketOption};
use synward_proto::segment::Mss;

/// The option; `None` when its value has no meaning.
pub(super) fn option(setup: &Setup, setting: Setting) -> Option<SocketOption> {
    Some(match setting {
        Setting::NoDelay(on) => SocketOption::NoDelay(on),
        Setting::Cork(on) => SocketOption::Cork(on),
        Setting::QuickAck(on) => SocketOption::QuickAck(on),
        Setting::Keepalive(on) => SocketOption::Keepalive(on.then(|| keepalive(setup))),
        Setting::UserTimeout(time) => SocketOption::UserTimeout((!time.is_zero()).then_some(time)),
        Setting::Linger2(time) => SocketOption::Linger2((!time.is_zero()).then_some(time)),
        Setting::Congestion(which) => SocketOption::Congestion(algorithm(which)),
        Setting::MaxSegment(size) => SocketOption::MaxSegment(Mss::announced(size)?),
        Setting::WindowClamp(bytes) => SocketOption::WindowClamp(bytes),
        Setting::ReceiveBuffer(bytes) => SocketOption::ReceiveBuffer(bytes),
        Setting::SendBuffer(bytes) => SocketOption::SendBuffer(bytes),
        Setting::NotSentLowat(_) => return None,
        Setting::TypeOfService(service) => SocketOption::TypeOfService(service),
        Setting::HopLimit(hops) => SocketOption::HopLimit(hops),
    })
}

/// The times of the header line, or else Linux's.
pub(super) fn keepalive(setup: &Setup) -> Keepalive {
    let crate::script::Keepalive { idle, interval, probes } = setup.keepalive.unwrap_or_default();
    Keepalive { idle, interval, probes }
}

/// The engine's word for a value of `tcp_ecn`.
pub(super) fn ecn(value: u8) -> Ecn {
    match value {
        0 => Ecn::Off,
        1 => Ecn::Always,
        _ => Ecn::WhenAsked,
    }
}

/// The engine's congestion control of that name.
pub(super) fn algorithm(algorithm: Algorithm) -> CongestionAlgorithm {
    match algorithm {
        Algorithm::Reno => CongestionAlgorithm::NewReno,
        Algorithm::Cubic => CongestionAlgorithm::Cubic,
    }
}
