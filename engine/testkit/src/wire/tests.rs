//! What is written is read, and what is broken is noticed.

use super::*;

fn segment(v6: bool) -> WireSegment {
    let host = |n: u8| -> IpAddr {
        if v6 { [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n].into() } else { [198, 18, 0, n].into() }
    };
    WireSegment {
        source: Endpoint::new(host(2), 40_000),
        destination: Endpoint::new(host(1), 80),
        flags: Flags::SYN | Flags::ACK | Flags::AE,
        seq: 0xffff_fffe,
        ack: 7,
        window: 64_240,
        urgent: 3,
        options: vec![
            WireOption::Mss(1460),
            WireOption::SackPermitted,
            WireOption::Timestamps(1, 2),
            WireOption::WindowScale(7),
        ],
        payload: b"hello".to_vec(),
        ip: IpFields {
            tos: 0xb8,
            ecn: EcnMark::Ce,
            ttl: 3,
            id: if v6 { 0 } else { 9 },
            options: Vec::new(),
            fragment: false,
        },
        vlans: Vec::new(),
    }
}

const MACS: Macs = Macs { destination: [2; 6], source: [4; 6] };

#[test]
fn what_is_written_is_read_back() {
    for v6 in [false, true] {
        for vlans in [vec![], vec![5], vec![7, 0xfff]] {
            let segment = WireSegment { vlans, ..segment(v6) };
            assert_eq!(decode(&encode(MACS, &segment, false)), Ok((MACS, segment)));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed() {
    for v6 in [false, true] {
        let frame = encode(MACS, &segment(v6), false);
        let start = if v6 { ETHERNET + 40 } else { ETHERNET + 20 };
        for bit in start * 8..frame.len() * 8 {
            let mut broken = frame.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&broken), Err(WireError::Malformed("wrong TCP checksum")), "bit {bit}");
        }
        assert!(decode(&encode(MACS, &segment(v6), true)).is_err());
    }
}

#[test]
fn a_segment_reads_like_a_line() {
    assert_eq!(
        segment(false).to_string(),
        "SAN seq 4294967294 ack 7 win 64240 urg 3 data \"hello\" <mss 1460, sack, ts 1/2, ws 7> ce tos 184 ttl 3"
    );
}

#[test]
fn padding_behind_the_last_option_must_be_zero() {
    let padded = |padding: [u8; 4]| {
        let options = vec![WireOption::Raw(padding.to_vec())];
        decode(&encode(MACS, &WireSegment { options, ..segment(false) }, false)).map(|_| ())
    };
    assert_eq!(padded([1, 0, 0, 0]), Ok(()));
    assert_eq!(padded([0, 0, 0, 1]), Err(WireError::Malformed("padding that is not zero")));
}

#[test]
fn an_icmp_error_quotes_the_segment_as_it_was_sent() {
    for v6 in [false, true] {
        let about = segment(v6);
        let error = |short| IcmpError {
            source: about.destination.addr,
            kind: 3,
            code: 4,
            parameter: 1400,
            about: about.clone(),
            short,
        };
        let frame = encode_icmp(MACS, &error(false), false);
        let header = if v6 { 40 } else { 20 };
        let message = &frame[ETHERNET + header..];
        assert_eq!(message[..2], [3, 4]);
        assert_eq!(message[4..8], [0, 0, 5, 120], "1400");
        assert_eq!(message[8..12], encode(MACS, &about, false)[ETHERNET..ETHERNET + 4], "the IP header");
        assert_eq!(message[8 + header + 4..][..4], about.seq.to_be_bytes());
        let pseudo =
            if v6 { pseudo_header_sum(about.source.addr, about.destination.addr, 58, message.len()) } else { 0 };
        assert_eq!(fold(add_bytes(pseudo, message)), 0xffff, "the checksum");
        assert_eq!(encode_icmp(MACS, &error(true), false).len(), ETHERNET + 2 * header + 8 + 8);
    }
}
