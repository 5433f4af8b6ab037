//! Any frame at the XDP program, by BPF_PROG_TEST_RUN. Root alone may load it.

use crate::packet::{ether_type_at, repair_checksums};
use crate::samples;
use std::cell::RefCell;
use std::time::Duration;
use synward_ebpf::ShieldCounter::{self, *};
use synward_ebpf::XdpAction::{self, Redirect, Tx};
use synward_ebpf::{
    Arrival, CookieOffer, Interface, ListenerId, Owned, Protocol, Shield, ShieldConfig, ShieldCounters,
};
use synward_proto::flood_guard::{CookieTimestamps, Syncookies};
use synward_proto::half_open::Offer;
use synward_proto::isn::Secrets;
use synward_proto::listener::{AcceptRoom, HalfOpens, Listener, ListenerConfig, Outcome};
use synward_proto::segment::WindowScale;
use synward_proto::syn_cookie::tick;
use synward_proto::syn_table::SynTableConfig;
use synward_proto::wire::{ChecksumPolicy, HEADROOM, parse, write_segment};
use synward_proto::{DropReason, Fate, Flags, Instant, Segment};

/// In the first byte of an input: the shield of the listeners is up.
const UP: u8 = 0x01;
/// In the first byte of an input: leave checksums as they are, for three values in four.
const REPAIR: u8 = 0x06;
/// In the first byte of an input: bring home the cookie that the frame draws, its acknowledgment changed by the input's last byte
/// where that is not zero.
const HOME: u8 = 0x08;

/// The shortest frame that the kernel runs a program on.
const ETHERNET: usize = 14;

/// The one key of cookies is in force for ever.
const KEY_LIFE: Duration = Duration::MAX;

/// How far the program's clock, which is coarse, may be behind.
const JIFFIES: Duration = Duration::from_millis(50);

/// A program that guards a listener of each family, and the engine's listeners with the same keys and the same offer.
struct Twins {
    shield: Shield,
    arrival: Arrival,
    guarded: [ListenerId; 2],
    seen: ShieldCounters,
    shared: HalfOpens,
    engines: [Listener; 2],
    _socket: std::os::fd::OwnedFd,
}

/// Room for everybody.
struct Room;

impl AcceptRoom for Room {
    fn is_full(&self) -> bool {
        false
    }
    fn reserve(&self) -> bool {
        true
    }
    fn cookie_sent(&self, _now: Instant) {}
    fn awaits_cookies(&self, _now: Instant) -> bool {
        false
    }
}

thread_local! {
    static TWINS: RefCell<Twins> = RefCell::new(Twins::new());
}

/// The program takes for a segment of ours what the parser takes for one, and refuses what that refuses, for the same reason;
/// it counts one outcome for each frame; its cookies are the listener's, to the byte; and those that come home it takes if,
/// and only if, the listener does.
///
/// The first byte of the input chooses as the constants above say; the frame follows, and one byte more.
pub fn bpf(data: &[u8]) {
    let [choice, rest @ .., change] = data else { return };
    let mut frame = rest.to_vec();
    if frame.len() < ETHERNET {
        return;
    }
    if choice & REPAIR != 0 {
        repair_checksums(&mut frame);
    }
    TWINS.with_borrow_mut(|twins| {
        twins.raise(choice & UP != 0);
        let began = now();
        let (action, counter, left) = twins.run(&frame);
        twins.agree(&frame, choice & UP != 0, (action, counter));
        if action == Tx {
            twins.compare(&frame, &left, began);
            if choice & HOME != 0 {
                twins.bring_home(&frame, &left, *change);
            }
        }
    });
}

impl Twins {
    fn new() -> Self {
        let secrets = Secrets::from_seed(&[7; Secrets::SEED_LEN]);
        let schedule = secrets.cookie_keys(KEY_LIFE);
        let config = ShieldConfig { ticks_per_key: schedule.ticks_per_key(), flows: 64, ..ShieldConfig::default() };
        let mut shield = Shield::load(&config).expect("root loads the program");
        shield.set_cookie_key(0, &schedule.key(0)).expect("a key");
        let socket = xdp_socket();
        shield.set_socket(0, &socket).expect("a queue");
        let offer = Offer::default();
        let guarded = [false, true].map(|is_v6| {
            let local = samples::peer(0, is_v6).local;
            let owned = Owned { protocol: Protocol::Tcp, address: local.addr, port: local.port };
            shield.own_listener(owned, &cookie_offer(&offer)).expect("a listener")
        });
        let table = SynTableConfig { capacity: 16, links: 16, synack_retries: 5, per_prefix: None };
        let mut shared = HalfOpens::new(&table, secrets, KEY_LIFE);
        let engines = [false, true].map(|is_v6| {
            let local = samples::peer(0, is_v6).local;
            let config = ListenerConfig {
                local,
                syn_queue_limit: 8,
                max_syn_backlog: 8,
                syncookies: Syncookies::Always,
                cookie_timestamps: CookieTimestamps::Optional,
                abort_on_overflow: false,
                offer,
            };
            Listener::new(&config, &mut shared).expect("a listener")
        });
        let seen = shield.counters().expect("counters");
        let arrival = Arrival { ifindex: Interface::by_name("lo").expect("a loopback").index, queue: 0 };
        Self { shield, arrival, guarded, seen, shared, engines, _socket: socket }
    }

    fn raise(&self, up: bool) {
        for listener in self.guarded {
            self.shield.listeners().set_up(listener, up);
        }
    }

    /// The verdict, the one counter that rose by one, and what is left of the frame.
    fn run(&mut self, frame: &[u8]) -> (XdpAction, ShieldCounter, Vec<u8>) {
        let (action, left) = self.shield.run(frame, self.arrival).expect("the program runs");
        let now = self.shield.counters().expect("counters");
        let before = std::mem::replace(&mut self.seen, now);
        let risen: Vec<_> = ShieldCounter::ALL.iter().filter(|it| now.get(**it) != before.get(**it)).collect();
        let [&counter] = risen[..] else { panic!("one counter must rise, not {risen:?}: {frame:02x?}") };
        assert_eq!(now.get(counter), before.get(counter) + 1);
        (action, counter, left)
    }

    /// Program and parser agree on what the frame is.
    fn agree(&mut self, frame: &[u8], up: bool, (action, counter): (XdpAction, ShieldCounter)) {
        let name = counter.name();
        let fits = match action {
            XdpAction::Aborted => false,
            XdpAction::Drop => name.starts_with("dropped"),
            XdpAction::Pass => name.starts_with("passed"),
            Redirect => name.starts_with("redirected"),
            Tx => name.starts_with("answered"),
        };
        assert!(fits, "{action:?} is counted as {name}: {frame:02x?}");
        match parse(frame, ChecksumPolicy::Full) {
            Ok(segment) if !is_ours(&segment) => assert_eq!(counter, Passed, "{segment:?} {frame:02x?}"),
            Ok(segment) if !up => assert_eq!(counter, Redirected, "{segment:?} {frame:02x?}"),
            Ok(segment) => self.guarded(&segment, counter, frame),
            Err(reason) => refused(reason, counter, frame),
        }
    }

    /// A segment to a listener whose shield is up.
    fn guarded(&mut self, segment: &Segment, counter: ShieldCounter, frame: &[u8]) {
        // A cookie that has come home lately opens the way for all of its flow, and a fingerprint is shared by some others.
        if counter == RedirectedKnown {
            return;
        }
        // A shield that is up lets nobody through who hides behind extension headers.
        if !is_plain(frame) {
            return assert_eq!(counter, DroppedExtensionHeaders, "{segment:?}: {frame:02x?}");
        }
        let flags = segment.flags;
        let has = |flag| flags.contains(flag);
        if has(Flags::ACK) && !has(Flags::SYN | Flags::ACK) && !has(Flags::RST) {
            let taken = self.takes(segment);
            assert_eq!(taken, counter == RedirectedCookie, "{segment:?} is {counter:?}: {frame:02x?}");
            if taken {
                return;
            }
        }
        let wanted = match () {
            () if has(Flags::RST) => DroppedRst,
            () if has(Flags::SYN | Flags::ACK) => DroppedSynAck,
            () if has(Flags::SYN) => AnsweredCookie,
            () if !has(Flags::ACK) => DroppedNoAck,
            () if has(Flags::FIN) => DroppedFin,
            () if segment.payload.len > 0 => DroppedData,
            () => DroppedAck,
        };
        assert_eq!(counter, wanted, "{segment:?}: {frame:02x?}");
    }

    /// Whether the engine's listener takes the segment for a cookie come home.
    fn takes(&mut self, segment: &Segment) -> bool {
        let engine = &mut self.engines[usize::from(segment.tuple.is_ipv6())];
        matches!(engine.on_segment(now(), segment, &mut self.shared, &Room), Outcome::Open(..))
    }

    /// The SYN-ACK of the program, which ran after `began`, is the engine's, to the byte, where both were of one tick.
    fn compare(&mut self, frame: &[u8], left: &[u8], began: Instant) {
        let present = now();
        let before = Instant::from_nanos(began.as_nanos() - JIFFIES.as_nanos() as u64);
        let Ok(segment) = parse(frame, ChecksumPolicy::Full) else {
            // Of a SYN with payload the program does not look at the checksum.
            return;
        };
        let engine = &mut self.engines[usize::from(segment.tuple.is_ipv6())];
        let outcome = engine.on_segment(present, &segment, &mut self.shared, &Room);
        let Outcome::Settled(verdict) = outcome else { panic!("a SYN opens nothing") };
        let head = verdict.reply.filter(|_| verdict.fate == Fate::Consumed).expect("a SYN-ACK");
        let mut answer = vec![0; frame.len().max(HEADROOM)];
        let length = write_segment(&mut answer, &segment.link, &head);
        if tick(before) == tick(present) {
            assert_eq!(left, &answer[..length], "{frame:02x?}");
        }
    }

    /// The client's answer to a SYN-ACK: program and listener take it, if its acknowledgment is right.
    fn bring_home(&mut self, frame: &[u8], left: &[u8], change: u8) {
        let (Ok(syn), Ok(syn_ack)) = (parse(frame, ChecksumPolicy::Full), parse(left, ChecksumPolicy::Full)) else {
            return;
        };
        let head = synward_proto::Head {
            tuple: syn_ack.tuple,
            seq: syn.seq + 1,
            ack: syn_ack.seq + 1 + u32::from(change),
            flags: Flags::ACK,
            options: synward_proto::Options::Data(synward_proto::segment::DataOptions {
                timestamps: syn_ack.options.timestamps().map(|stamps| synward_proto::segment::Timestamps {
                    value: stamps.echo.wrapping_add(1),
                    echo: stamps.value,
                }),
                ..Default::default()
            }),
            ..samples::HEAD
        };
        let third = crate::packet::frame(&syn_ack.link, &head, &[]);
        let (action, counter, _) = self.run(&third);
        self.agree(&third, true, (action, counter));
        assert!(change != 0 || action == Redirect, "a cookie at once: {counter:?}");
    }
}

/// A frame that the parser refuses: if the program names a reason, it is the parser's.
fn refused(reason: DropReason, counter: ShieldCounter, frame: &[u8]) {
    use DropReason as D;
    // The program walks more extension headers than the parser, and may find something else behind them.
    if reason == D::Ipv6Extension {
        return;
    }
    let may_be = |reasons: &[DropReason]| assert!(reasons.contains(&reason), "{reason:?}, {counter:?}: {frame:02x?}");
    match counter {
        DroppedFlags => may_be(&[D::TcpFlags, D::TcpChecksum, D::IpChecksum]),
        DroppedPortZero => may_be(&[D::PortZero, D::TcpChecksum, D::IpChecksum]),
        DroppedLand => may_be(&[D::Land, D::IpChecksum]),
        DroppedMartian => may_be(&[D::MartianSource, D::MartianDestination, D::IpChecksum]),
        // A frame may be wrong in two ways; the parser looks at addresses before it looks at TCP.
        DroppedHeader => may_be(&[
            D::IpLength,
            D::IpHeaderLength,
            D::IpOptions,
            D::IpChecksum,
            D::TcpDataOffset,
            D::FrameTooShort,
            D::MartianSource,
            D::MartianDestination,
            D::Land,
        ]),
        DroppedChecksum => may_be(&[D::TcpChecksum, D::IpChecksum]),
        // The program drops and passes by headers alone; what only checksums and lengths tell is the engine's to find.
        _ => {}
    }
}

/// Whether TCP follows the IP header at once.
fn is_plain(frame: &[u8]) -> bool {
    let packet = &frame[ether_type_at(frame) + 2..];
    packet[0] >> 4 == 4 || packet[6] == 6
}

fn is_ours(segment: &Segment) -> bool {
    let local = samples::peer(0, segment.tuple.is_ipv6()).local;
    segment.tuple.local == local
}

fn cookie_offer(offer: &Offer) -> CookieOffer {
    CookieOffer {
        mss_v4: offer.mss_v4.get(),
        mss_v6: offer.mss_v6.get(),
        window: offer.window,
        window_scale: offer.window_scale.map(WindowScale::shift),
        sack: offer.sack,
        timestamps: offer.timestamps,
        timestamps_required: false,
    }
}

fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// The least AF_XDP socket that a socket map takes: one with a receive ring, bound to nothing.
fn xdp_socket() -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketType, socket, sockopt};
    let socket = socket(AddressFamily::XDP, SocketType::RAW, None).expect("an AF_XDP socket");
    sockopt::set_xdp_rx_ring_size(&socket, 64).expect("a receive ring");
    socket
}
