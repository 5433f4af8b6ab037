//! The frames of a flood, but for what is drawn for each: source, port, numbers, checksums.

use std::net::IpAddr;

use super::SynForm;

/// `MAX_FRAME` of the program.
const MAX_FRAME: usize = 96;
const TCP: usize = 20;
const PROTOCOL_TCP: u8 = 6;

/// `struct template` of the program; the sums are over words as they lie in memory.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Template {
    pub bytes: [u8; MAX_FRAME],
    pub tcp_sum: u64,
    pub ip_sum: u64,
    pub is_ack: u32,
    pub is_stamped: u32,
}

/// What a frame says whoever it claims to come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers {
    pub to_mac: [u8; 6],
    pub from_mac: [u8; 6],
    pub to: IpAddr,
    pub port: u16,
}

impl SynForm {
    /// The length of a frame in bytes.
    pub(super) const fn frame_bytes(self, is_ipv6: bool) -> usize {
        match (self, is_ipv6) {
            (Self::Bare, false) => 60,
            (Self::Bare, true) | (Self::Client, false) => 74,
            (Self::Client, true) => 94,
        }
    }
}

impl Headers {
    /// A SYN.
    pub(super) fn syn(&self, form: SynForm) -> Template {
        let mss: u16 = if self.to.is_ipv6() { 1440 } else { 1460 };
        let [high, low] = mss.to_be_bytes();
        // MSS, SACK permitted, timestamps (the value drawn, the echo zero), no-operation, window scale 7: as Linux.
        let client = [2, 4, high, low, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7];
        let (options, is_stamped) = match form {
            SynForm::Bare => (&[][..], 0),
            SynForm::Client => (&client[..], 1),
        };
        Template { is_ack: 0, is_stamped, ..self.template(0x02, options) }
    }

    /// An ACK without options.
    pub(super) fn ack(&self) -> Template {
        Template { is_ack: 1, is_stamped: 0, ..self.template(0x10, &[]) }
    }

    fn template(&self, flags: u8, options: &[u8]) -> Template {
        let segment = self.segment(flags, options);
        let (ip, pseudo) = match self.to {
            IpAddr::V4(to) => (ipv4(to.octets(), segment.len()), pseudo_header(&to.octets(), segment.len())),
            IpAddr::V6(to) => (ipv6(to.octets(), segment.len()), pseudo_header(&to.octets(), segment.len())),
        };
        let ethertype: [u8; 2] = if self.to.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        let mut bytes = [0; MAX_FRAME];
        let frame = [&self.to_mac[..], &self.from_mac, &ethertype, &ip, &segment].concat();
        bytes[..frame.len()].copy_from_slice(&frame);
        Template { bytes, tcp_sum: sum(&pseudo) + sum(&segment), ip_sum: sum(&ip), is_ack: 0, is_stamped: 0 }
    }

    fn segment(&self, flags: u8, options: &[u8]) -> Vec<u8> {
        let words = u8::try_from((TCP + options.len()) / 4).expect("at most 15");
        let mut segment = vec![0; TCP];
        segment[2..4].copy_from_slice(&self.port.to_be_bytes());
        segment[12] = words << 4;
        segment[13] = flags;
        segment[14..16].copy_from_slice(&64_240_u16.to_be_bytes());
        segment.extend(options);
        segment
    }
}

fn ipv4(to: [u8; 4], segment: usize) -> Vec<u8> {
    let length = u16::try_from(20 + segment).expect("a short frame");
    let [high, low] = length.to_be_bytes();
    // No identification, DF, and the source and checksum left to the program.
    let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0, 0, 0, 0, 0];
    header.extend(to);
    header
}

fn ipv6(to: [u8; 16], segment: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(segment).expect("a short frame").to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, high, low, PROTOCOL_TCP, 64];
    header.extend([0; 16]);
    header.extend(to);
    header
}

/// RFC 9293, section 3.1, and RFC 8200, section 8.1, without the source address. The fields are in another order and width
/// than on paper, which changes no sum.
fn pseudo_header(to: &[u8], segment: usize) -> Vec<u8> {
    let length = u16::try_from(segment).expect("a short frame").to_be_bytes();
    [to, &[0, PROTOCOL_TCP], &length].concat()
}

/// The sum of 16-bit words as they lie in memory; the bytes are of even number.
fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]]))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: usize = 14;

    fn headers(to: &str) -> Headers {
        Headers { to_mac: [2; 6], from_mac: [4; 6], to: to.parse().unwrap(), port: 80 }
    }

    #[test]
    fn frames_fill_their_length() {
        for (to, form, segment) in [
            ("192.0.2.1", SynForm::Bare, 40),
            ("192.0.2.1", SynForm::Client, 60),
            ("2001:db8::1", SynForm::Bare, 60),
            ("2001:db8::1", SynForm::Client, 80),
        ] {
            let headers = headers(to);
            let length = form.frame_bytes(headers.to.is_ipv6());
            assert!((60..=MAX_FRAME).contains(&length) && length >= ETHERNET + segment);
            let syn = headers.syn(form);
            let (segment, padding) = syn.bytes.split_at(ETHERNET + segment);
            assert!(segment.ends_with(if form == SynForm::Client { &[1, 3, 3, 7] } else { &[0xfa, 0xf0, 0, 0, 0, 0] }));
            assert!(padding.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn client_stamp_is_where_the_program_writes_it() {
        let syn = headers("192.0.2.1").syn(SynForm::Client);
        let program = include_str!("../bpf/flood.bpf.c");
        assert!(program.contains("#define TCP_TIMESTAMP 28 "));
        assert_eq!(syn.bytes[ETHERNET + 20 + 26..][..2], [8, 10]);
    }
}
