//! Frames are broken: a good one is edited, and its checksums are made right again, so that nothing but the edit can be the reason
//! for what becomes of it. All of this is about frames without VLAN tags.

/// Where the IP header starts, and the TCP header behind either.
pub const IP: usize = 14;
pub const TCP4: usize = IP + 20;
pub const TCP6: usize = IP + 40;

/// Puts `value` over what stands at `at`.
pub fn put(frame: &mut [u8], at: usize, value: &[u8]) {
    frame[at..at + value.len()].copy_from_slice(value);
}

/// Puts bytes between, and lets the IP header count them. The IPv4 header is sealed again.
pub fn insert(frame: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    frame.splice(at..at, bytes.iter().copied());
    let is_v4 = frame[12..14] == [8, 0];
    let (field, covered) = if is_v4 { (IP + 2, IP) } else { (IP + 4, TCP6) };
    let len = (frame.len() - covered) as u16;
    put(frame, field, &len.to_be_bytes());
    if is_v4 {
        seal_ip(frame);
    }
}

/// Makes the checksum of the IPv4 header right, as long as that says it is; IPv6 has none.
pub fn seal_ip(frame: &mut [u8]) {
    if frame[12..14] != [8, 0] {
        return;
    }
    let end = (IP + 4 * usize::from(frame[IP] & 0x0f)).clamp(TCP4, frame.len());
    put(frame, IP + 10, &[0, 0]);
    let sum = checksum(0, &frame[IP..end]);
    put(frame, IP + 10, &sum);
}

/// Makes both checksums right; TCP starts at `tcp` and ends with the frame.
pub fn seal(frame: &mut [u8], tcp: usize) {
    seal_ip(frame);
    put(frame, tcp + 16, &[0, 0]);
    let sum = checksum(pseudo_header(frame, frame.len() - tcp), &frame[tcp..]);
    put(frame, tcp + 16, &sum);
}

/// The checksum that a sending kernel leaves to its device: the sum of the pseudo-header.
pub fn unfinished(frame: &[u8], tcp: usize) -> [u8; 2] {
    checksum(pseudo_header(frame, frame.len() - tcp), &[]).map(|byte| !byte)
}

/// The sum over addresses, length and protocol.
fn pseudo_header(frame: &[u8], len: usize) -> u32 {
    let addresses = if frame[12..14] == [8, 0] { IP + 12..IP + 20 } else { IP + 8..IP + 40 };
    frame[addresses].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>()
        + len as u32
        + 6
}

/// The Internet checksum of `bytes`, to which `sum` counts.
pub fn checksum(sum: u32, bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum = bytes.chunks(2).map(word).sum::<u32>() + sum;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}
