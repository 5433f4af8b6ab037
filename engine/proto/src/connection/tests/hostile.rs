//! Anything may arrive at any time, and the clock may step: nothing panics, and what always holds does.

use super::bench::*;
use crate::connection::{Connection, Events, Keepalive, SocketOption, State, Terms};
use crate::half_open::{Clock, Negotiated};
use crate::segment::SynOptions;
use crate::{Fate, Flags, Instant, Options};
use core::time::Duration;
use proptest::prelude::*;

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Happening {
    Arrives(Says),
    Passes(Duration),
    StepsBack(Duration),
    Sends(u32),
    Reads(u32),
    Transmits(u8),
    ShutsDown,
    Closes,
    SwitchesKeepalive(bool),
}

/// Numbers around those that matter, and some from anywhere.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0u32..3000,
        1 => (0u32..3000).prop_map(u32::wrapping_neg),
        1 => BUFFER - 1500..BUFFER + 1500,
        1 => any::<u32>(),
    ]
}

fn segment() -> impl Strategy<Value = Says> {
    let flags = prop_oneof![
        8 => Just(Flags::ACK),
        2 => Just(Flags::ACK | Flags::FIN),
        1 => any::<u16>().prop_map(Flags::from_bits_truncate),
    ];
    let window = prop_oneof![Just(0u16), Just(1u16), any::<u16>()];
    let blocks = proptest::collection::vec((number(), prop_oneof![Just(1000u32), 0u32..3000, any::<u32>()]), 0..4);
    (number(), number(), flags, window, prop_oneof![Just(0u32), 0u32..1500], any::<Option<(u32, u32)>>(), blocks)
        .prop_map(|(seq, ack_to, flags, window, len, stamp, blocks)| {
            let says = data(seq, ack_to, len).flags(flags).window(window);
            let says = blocks.into_iter().fold(says, |says, (start, len)| says.sack(start, start.wrapping_add(len)));
            stamp.map_or(says.clone(), |(value, echo)| says.stamp(value, echo))
        })
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        10 => segment().prop_map(Happening::Arrives),
        4 => prop_oneof![0u64..100, 0u64..200_000, any::<u32>().prop_map(u64::from)]
            .prop_map(|millis| Happening::Passes(ms(millis))),
        1 => (0u64..4_000_000).prop_map(|millis| Happening::StepsBack(ms(millis))),
        3 => (0u32..20_000).prop_map(Happening::Sends),
        3 => number().prop_map(Happening::Reads),
        6 => (1u8..20).prop_map(Happening::Transmits),
        1 => Just(Happening::ShutsDown),
        1 => Just(Happening::Closes),
        1 => any::<bool>().prop_map(Happening::SwitchesKeepalive),
    ]
}

/// Applies one happening, and checks what the decisions promise.
fn apply(bench: &mut Bench, happening: &Happening, sent: &mut u32, read: &mut u32) {
    match happening {
        Happening::Arrives(says) => {
            let decision = bench.arrive(says);
            if let Fate::Delivered(span) = decision.verdict.fate {
                assert_eq!(decision.verdict.reply, None);
                assert!(!decision.events.contains(Events::TIME_WAIT));
                let (_, frame) = says.segment();
                assert_eq!(span.of(&frame), stream(*read, span.len.into()), "the stream goes on where it was");
                *read += u32::from(span.len);
            }
            while let Some(bytes) = bench.connection.take_reassembled() {
                assert_eq!(bytes, stream(*read, bytes.len() as u32));
                *read += bytes.len() as u32;
            }
            assert_eq!(
                decision.events.contains(Events::FAILED),
                bench.connection.failure().is_some() && { decision.events.contains(Events::CLOSED) }
            );
        }
        Happening::Passes(span) => {
            bench.wait(*span);
            let _ = bench.tick();
        }
        Happening::StepsBack(span) => {
            bench.now = Instant::ZERO + bench.now.since(Instant::ZERO + *span);
            let _ = bench.tick();
        }
        Happening::Sends(len) => {
            let len = (*len).min(bench.connection.send_space());
            bench.send(stream(*sent, len));
            *sent += len;
        }
        Happening::Reads(bytes) => bench.connection.consumed(bench.now, *bytes),
        Happening::Transmits(most) => {
            for _ in 0..*most {
                let Some(out) = bench.sent_one() else { break };
                assert!(out.len <= u32::from(MSS) && out.seq.wrapping_add(out.len) <= *sent || out.len == 0, "{out:?}");
            }
        }
        Happening::ShutsDown => bench.connection.shutdown(bench.now),
        Happening::Closes => drop(bench.connection.close(bench.now)),
        Happening::SwitchesKeepalive(on) => {
            let keepalive = Keepalive { idle: ms(50), interval: ms(20), probes: 2 };
            bench.connection.set(bench.now, SocketOption::Keepalive(on.then_some(keepalive)));
        }
    }
}

/// What holds at any time.
fn check(bench: &Bench) {
    let info = bench.connection.info(bench.now);
    assert!(info.receive_window <= BUFFER.max(65_535) + (1 << 14), "{info:?}");
    if bench.connection.state() == State::Closed {
        assert_eq!((bench.connection.deadline(), bench.connection.wants_transmit(bench.now)), (None, false));
        return;
    }
    let waits = bench.connection.wants_transmit(bench.now) || bench.connection.deadline().is_some();
    assert!(waits || info.send_queue == 0, "bytes to send, and nothing that would send them: {info:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn an_established_connection_takes_anything(
        happenings in proptest::collection::vec(happening(), 1..120),
        (stamps, sack, scale) in (any::<bool>(), any::<bool>(), any::<Option<(u8, u8)>>()),
    ) {
        let timestamps = stamps.then_some(Clock { recent: 1, offset: 0 });
        let scales = scale.and_then(|(peer, ours)| scales(peer, ours));
        let mut bench = Bench::with(&config(), Negotiated { timestamps, sack, scales, ..negotiated() });
        let (mut sent, mut read) = (0, 0);
        for happening in &happenings {
            apply(&mut bench, happening, &mut sent, &mut read);
            check(&bench);
        }
    }

    #[test]
    fn an_open_takes_anything(happenings in proptest::collection::vec(happening(), 1..60), mss_option: Option<u16>) {
        let mut bench = Bench::established();
        bench.connection = Connection::connect(Instant::from_millis(5), TUPLE, ISS, 5, &Terms::from(&config()));
        let (mut sent, mut read) = (0, 0);
        for happening in &happenings {
            // Half of what acknowledges anything acknowledges our SYN.
            if let Happening::Arrives(says) = happening {
                let (mut segment, frame) = says.segment();
                if segment.seq.0 & 1 == 0 {
                    segment.ack = ISS + 1;
                }
                if segment.flags.contains(Flags::SYN) {
                    let mss = mss_option.and_then(crate::segment::Mss::announced);
                    segment.options = Options::Syn(SynOptions { mss, ..Default::default() });
                }
                let _ = bench.connection.on_segment(bench.now, &segment, &frame);
                while bench.connection.take_reassembled().is_some() {}
            } else if bench.connection.state() == State::SynSent {
                apply(&mut bench, happening, &mut sent, &mut read);
            }
            check(&bench);
        }
    }
}
