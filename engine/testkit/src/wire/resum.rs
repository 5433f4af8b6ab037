//! Checksums of frames that were changed by hand.

use super::{TCP, add_bytes, array, fold, pseudo_header_sum};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Makes the checksums right of a frame whose IP header begins at `ip` and whose TCP header at `tcp`, so that a change is
/// seen by what comes behind them. The segment ends where the IP length says, or with the frame.
pub fn resum(frame: &mut [u8], ip: usize, tcp: usize) {
    let is_v4 = frame[ip] >> 4 == 4;
    let length = usize::from(u16::from_be_bytes(array(frame, if is_v4 { ip + 2 } else { ip + 4 })));
    let end = if is_v4 { ip + length } else { ip + 40 + length }.min(frame.len());
    let (source, destination) = if is_v4 {
        frame[ip + 10..ip + 12].fill(0);
        let sum = !fold(add_bytes(0, &frame[ip..tcp]));
        frame[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
        let address = |at| Ipv4Addr::from(array::<4>(frame, at)).into();
        (address(ip + 12), address(ip + 16))
    } else {
        let address = |at| Ipv6Addr::from(array::<16>(frame, at)).into();
        (address(ip + 8), address(ip + 24))
    };
    if end < tcp + 18 {
        return;
    }
    frame[tcp + 16..tcp + 18].fill(0);
    let sum = add_bytes(pseudo_header_sum(source, destination, TCP, end - tcp), &frame[tcp..end]);
    frame[tcp + 16..tcp + 18].copy_from_slice(&(!fold(sum)).to_be_bytes());
}
