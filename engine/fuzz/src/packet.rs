//! Frames on the way in: where their headers are, and checksums that fit, so that inputs get past the first check.

use synward_proto::wire::{HEADROOM, SegmentWriter};
use synward_proto::{Head, Link};

/// The frame of a segment with these headers.
pub fn frame(link: &Link, head: &Head, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xee; HEADROOM + payload.len()];
    let mut writer = SegmentWriter::new(&mut frame, link, head);
    let taken = writer.append(payload);
    assert_eq!(taken, payload.len(), "the frame has room");
    let len = writer.finish();
    frame.truncate(len);
    frame
}

/// The same way, seen from its other end.
pub fn swapped(link: &Link) -> Link {
    Link { local: link.remote, remote: link.local, ..*link }
}

/// Two bytes in network order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Four bytes in network order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The one's complement sum of these pieces, folded; each begins at an even place of what is summed.
pub fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for piece in pieces {
        for word in piece.chunks(2) {
            sum += u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}

/// Where the EtherType behind the VLAN tags stands.
pub fn ether_type_at(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(u16_at(frame, at), Some(0x8100 | 0x88a8)) {
        at += 4;
    }
    at
}

/// Makes the checksums of a frame right: that of the IPv4 header, and that of the TCP or ICMP behind it, as far as they are
/// there. Extension headers of IPv6 are walked by their lengths alone.
pub fn repair_checksums(frame: &mut [u8]) {
    let at = ether_type_at(frame);
    match u16_at(frame, at) {
        Some(0x0800) => repair_v4(&mut frame[at + 2..]),
        Some(0x86dd) => repair_v6(&mut frame[at + 2..]),
        _ => {}
    }
}

fn repair_v4(packet: &mut [u8]) {
    let Some(&first) = packet.first() else { return };
    let header = 4 * usize::from(first & 0x0f);
    let Some(total) = u16_at(packet, 2).map(usize::from) else { return };
    if header < 20 || packet.len() < header {
        return;
    }
    set_sum(&mut packet[..header], 10, &[]);
    let addresses: [u8; 8] = packet[12..20].try_into().unwrap_or_default();
    let protocol = packet[9];
    if let Some(payload) = packet.get_mut(header..total) {
        repair_payload(payload, protocol, &addresses);
    }
}

fn repair_v6(packet: &mut [u8]) {
    let Some(len) = u16_at(packet, 4).map(usize::from) else { return };
    let Some(addresses) = packet.get(8..40).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else { return };
    let mut next = packet[6];
    let Some(mut payload) = packet.get_mut(40..40 + len) else { return };
    while matches!(next, 0 | 43 | 60) && payload.len() >= 8 {
        next = payload[0];
        let header = 8 + 8 * usize::from(payload[1]);
        match payload.get_mut(header..) {
            Some(rest) => payload = rest,
            None => return,
        }
    }
    repair_payload(payload, next, &addresses);
}

fn repair_payload(payload: &mut [u8], protocol: u8, addresses: &[u8]) {
    let len = (payload.len() as u32).to_be_bytes();
    let pseudo: [&[u8]; 3] = [addresses, &len, &[0, protocol]];
    match protocol {
        6 => set_sum(payload, 16, &pseudo),
        58 => set_sum(payload, 2, &pseudo),
        1 => set_sum(payload, 2, &[]),
        _ => {}
    }
}

/// Sets the checksum at `at`, which covers `bytes` and these pieces.
fn set_sum(bytes: &mut [u8], at: usize, pieces: &[&[u8]]) {
    if bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let total = !sum(&[&sum(pieces).to_be_bytes(), bytes]);
    bytes[at..at + 2].copy_from_slice(&total.to_be_bytes());
}
