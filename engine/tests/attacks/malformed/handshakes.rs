//! SYNs that are odd and yet legal: each gets a connection that works.

use super::{Attacked, IP, TCP_V4, changed};
use crate::bed::{Bed, client, config, frame, read, segment, syn, third, usual};
use std::time::Duration;
use synward_engine::EngineConfig;
use synward_proto::Flags;
use synward_testkit::wire::{WireOption, WireSegment, resum};

/// What the SYN-ACK offers to a SYN with these bytes of options; the handshake is then completed, and bytes go both ways.
fn offered(options: &[u8]) -> Vec<WireOption> {
    let mut bed = Bed::new(config());
    let mut bytes = frame(&segment(client(0), Flags::SYN, 1_000, 0));
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    bytes[TCP_V4 + 12] = ((5 + padded.len() / 4) << 4) as u8;
    let length = (bytes.len() - IP + padded.len()) as u16;
    bytes[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&padded);
    resum(&mut bytes, IP, TCP_V4);
    let answers = bed.exchange(&[bytes]);
    let [answer] = &answers[..] else { panic!("{answers:x?} for {options:?}") };
    let syn_ack = read(answer);
    serves(&mut bed, &syn_ack);
    bed.assert_drains();
    syn_ack.options
}

/// Completes the handshake, and sees bytes go both ways.
fn serves(bed: &mut Bed, syn_ack: &WireSegment) {
    let stamps = syn_ack.options.iter().find_map(|option| match option {
        WireOption::Timestamps(value, echo) => Some(WireOption::Timestamps(echo + 1, *value)),
        _ => None,
    });
    let options: Vec<_> = stamps.into_iter().collect();
    let data = WireSegment {
        payload: b"request".to_vec(),
        flags: Flags::ACK | Flags::PSH,
        options: options.clone(),
        ..third(syn_ack)
    };
    assert!(bed.send(&WireSegment { options, ..third(syn_ack) }).is_empty());
    let listener = bed.listener;
    let socket = bed.sockets().accept(listener).expect("accepted").socket;
    bed.send(&data);
    let mut bytes = [0; 20];
    assert_eq!(bed.sockets().recv(socket, &mut bytes), Ok(7));
    assert_eq!(bed.sockets().send(socket, b"answer"), Ok(6));
    let answers = bed.exchange(&[]);
    assert!(answers.iter().any(|answer| read(answer).payload == b"answer"), "{answers:x?}");
    bed.sockets().abort(socket).expect("aborts");
    bed.pass(Duration::from_secs(1));
}

#[test]
fn options_that_are_odd() {
    let (mss, scale, sack) = (WireOption::Mss(1460), WireOption::WindowScale(7), WireOption::SackPermitted);
    let all = vec![mss.clone(), sack.clone(), scale.clone()];
    for (options, wanted) in [
        // No length; a length of one; one that runs past the header: what stood before them counts.
        (&[2, 4, 5, 180, 3, 0, 1, 1][..], vec![mss.clone()]),
        (&[2, 4, 5, 180, 3, 1, 7, 1], vec![mss.clone()]),
        (&[2, 4, 5, 180, 3, 40, 7, 1], vec![mss.clone()]),
        (&[3], vec![mss.clone()]),
        // Unaligned, and without a NOP between them.
        (&[1, 2, 4, 5, 180, 3, 3, 7, 4, 2], all.clone()),
        // Unknown ones, with and without a body.
        (&[253, 4, 0, 0, 2, 4, 5, 180, 254, 2, 4, 2, 3, 3, 7], all.clone()),
        // The end of the list, and garbage behind it.
        (&[2, 4, 5, 180, 0, 4, 2, 255], vec![mss.clone()]),
        (&[0, 3, 3, 7], vec![mss.clone()]),
        // Twice the same.
        (&[2, 4, 1, 0, 2, 4, 5, 180, 3, 3, 14, 3, 3, 7, 4, 2, 4, 2], all.clone()),
        // Known ones of a wrong length are skipped.
        (&[2, 3, 5, 3, 4, 7, 7, 4, 3, 0], vec![mss.clone()]),
        // A shift of more than 14 counts as 14.
        (&[2, 4, 5, 180, 3, 3, 15], vec![mss.clone(), scale.clone()]),
        (&[2, 4, 5, 180, 3, 3, 255], vec![mss.clone(), scale.clone()]),
        // An MSS of zero, of one, and of all ones.
        (&[2, 4, 0, 0], vec![mss.clone()]),
        (&[2, 4, 0, 1], vec![mss.clone()]),
        (&[2, 4, 255, 255], vec![mss.clone()]),
        // Forty bytes: nothing but NOPs, and one unknown option.
        (&[1; 40], vec![mss.clone()]),
        (&[&[253, 40][..], &[9; 38]].concat(), vec![mss.clone()]),
        // A SACK block on a SYN says nothing.
        (&[5, 10, 0, 0, 0, 1, 0, 0, 0, 2], vec![mss.clone()]),
    ] {
        assert_eq!(offered(options), wanted, "{options:?}");
    }
    let doubled = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 2, 0, 0, 0, 0];
    assert!(matches!(offered(&doubled)[..], [WireOption::Mss(_), WireOption::Timestamps(_, 2)]), "the later counts");
}

/// An MSS on a segment without SYN says nothing.
#[test]
fn an_mss_in_the_middle() {
    let mut attacked = Attacked::new();
    let options = vec![WireOption::Mss(48), WireOption::WindowScale(0), WireOption::SackPermitted];
    let odd = WireSegment { options, ..attacked.peer.clone() };
    assert!(attacked.bed.send(&odd).is_empty());
    assert_eq!(attacked.bed.sockets().send(attacked.socket, &[1; 1_460]), Ok(1_460));
    let sent = attacked.bed.exchange(&[]);
    assert_eq!(sent.iter().map(|frame| read(frame).payload.len()).collect::<Vec<_>>(), [1_460]);
    attacked.ends_well();
}

/// Every combination of the reserved bits, AE, CWR and ECE on a SYN, in table and cookie mode: a connection, with ECN where RFC 3168
/// asks for it and the table remembers it.
#[test]
fn reserved_bits_and_ecn() {
    for bits in 0..64_u16 {
        let (reserved, ecn) = (bits >> 3, bits & 7);
        let (ece, cwr, ae) = (ecn & 1 != 0, ecn & 2 != 0, ecn & 4 != 0);
        for syncookies in [1, 2] {
            let mut bed = Bed::new(EngineConfig { syncookies, ..config() });
            let mut flags = Flags::SYN;
            flags.set(Flags::ECE, ece);
            flags.set(Flags::CWR, cwr);
            flags.set(Flags::AE, ae);
            let mut bytes = frame(&WireSegment { options: usual(), ..segment(client(0), flags, 1_000, 0) });
            bytes[TCP_V4 + 12] |= (reserved << 1) as u8;
            resum(&mut bytes, IP, TCP_V4);
            let answers = bed.exchange(&[bytes]);
            let [answer] = &answers[..] else { panic!("{answers:x?} for {bits:#b}") };
            let syn_ack = read(answer);
            let wanted = if ece && cwr && syncookies == 1 { Flags::ECE } else { Flags::empty() };
            assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK | wanted, "{bits:#b}");
            serves(&mut bed, &syn_ack);
            bed.assert_drains();
        }
    }
}

/// Windows of zero and with the highest bit set, and initial sequence numbers at both edges of sequence space.
#[test]
fn windows_and_sequence_numbers_at_the_edges() {
    for syncookies in [1, 2] {
        for seq in [0, 1, u32::MAX, u32::MAX - 6, (1 << 31) - 1, 1 << 31, (1 << 31) + 1] {
            for window in [0, 0x8000, 0xffff] {
                let mut bed = Bed::new(EngineConfig { syncookies, ..config() });
                let syn_ack = bed.syn_ack(&WireSegment { window, ..syn(client(0), seq) });
                serves(&mut bed, &syn_ack);
                bed.assert_drains();
            }
        }
    }
}

/// A window with the highest bit set is 32,768 or more, not less than nothing: so much may be in flight.
#[test]
fn a_window_is_unsigned() {
    let mut attacked = Attacked::new();
    let wide = WireSegment { window: 0xffff, ..attacked.peer.clone() };
    attacked.bed.send(&wide);
    assert_eq!(attacked.bed.sockets().send(attacked.socket, &[2; 10_000]), Ok(10_000));
    let sent: usize = attacked.bed.exchange(&[]).iter().map(|frame| read(frame).payload.len()).sum();
    assert_eq!(sent, 10_000, "all of it, within the first congestion window");
    attacked.ends_well();
}

#[test]
fn the_frame_to_deviate_from_is_good() {
    let mut bed = Bed::new(config());
    assert_eq!(bed.exchange(&[changed(|_| ())]).len(), 1);
    bed.assert_drains();
}
