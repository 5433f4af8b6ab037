//! The far end of a flood: it tells a good SYN-ACK from every kind of bad one, and whoever is let in by a cookie from whoever is
//! not. All of it needs root and is reported as ignored, by name, without it.

use std::net::{SocketAddr, SocketAddrV4};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use synward_bench::bare::{Bare, Fate, Forwarder};
use synward_bench::far_end::FarEnd;
use synward_bench::flood::{Attack, Flood, FloodConfig, SynForm, run_cost};
use synward_bench::kernel_server;
use synward_bench::shield_cost::{FilledShield, Filling};
use synward_bench::validator::{Expectation, SAMPLE_EVERY, Sight, Sights, Validator};
use synward_ebpf::Interface;
use synward_lab::{End, Host, Lab, LabConfig, Offloads, Pair, PairConfig};
use synward_proto::segment::{Mss, SynOptions, Timestamps, WindowScale};
use synward_proto::wire::{ChecksumPolicy, HEADROOM, SegmentWriter, parse};
use synward_proto::{Flags, Head, Marking, Options, Segment, SeqNum};

type Test = (&'static str, fn() -> Result<()>);

const TESTS: &[Test] = &[
    ("good_syn_acks_are_valid", good_syn_acks_are_valid),
    ("each_kind_of_bad_syn_ack_is_invalid", each_kind_of_bad_syn_ack_is_invalid),
    ("what_was_not_offered_must_not_be_answered", what_was_not_offered_must_not_be_answered),
    ("a_broken_header_is_told_from_a_broken_segment", a_broken_header_is_told_from_a_broken_segment),
    ("what_is_no_syn_ack_is_counted_as_what_it_is", what_is_no_syn_ack_is_counted_as_what_it_is),
    ("an_unfinished_checksum_is_taken_only_where_it_may_be", an_unfinished_checksum_is_taken_only_where_it_may_be),
    ("one_in_1024_is_sampled", one_in_1024_is_sampled),
    ("cookies_of_the_kernel_let_in_whom_they_are_for_client", || cookies_of_the_kernel(SynForm::Client)),
    ("cookies_of_the_kernel_let_in_whom_they_are_for_bare", || cookies_of_the_kernel(SynForm::Bare)),
    ("bare_systems_send_back_what_was_sent", bare_systems_send_back_what_was_sent),
    ("a_program_is_rehearsed_where_it_is", a_program_is_rehearsed_where_it_is),
    ("a_filled_shield_answers_syns_as_a_client_takes_it", a_filled_shield_answers_syns_as_a_client_takes_it),
    ("a_server_that_lets_everybody_in_is_found_out", a_server_that_lets_everybody_in_is_found_out),
];

const PORT: u16 = 7;
const SEED: u64 = 11;

fn main() -> ExitCode {
    let root = synward_lab::root_available();
    let trials = TESTS.iter().map(|(name, test)| {
        let run = || test().map_err(|error| format!("{error:?}").into());
        Trial::test(*name, run).with_kind("root").with_ignored_flag(!root)
    });
    // One at a time: each takes a core.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn target(host: &Host) -> SocketAddrV4 {
    SocketAddrV4::new(host.ipv4(), PORT)
}

fn expectation(host: &Host, form: SynForm) -> Expectation {
    Expectation { target: target(host), seed: SEED, form, unfinished_checksums: false }
}

/// A validator, and a SYN of the flood that it expects.
struct Bench {
    _pair: Pair,
    validator: Validator,
    syn: Vec<u8>,
}

impl Bench {
    fn new(form: SynForm) -> Result<Self> {
        let pair = Pair::up(&PairConfig::default())?;
        let (near, far) = (pair.near(), pair.far());
        let config =
            FloodConfig { form, seed: SEED, ..FloodConfig::new(near.interface(), far.mac(), target(far).into()) };
        let frames = near.enter(|| Flood::preview(&config, 1))??;
        let validator = Validator::load(&expectation(far, form))?;
        Ok(Self { validator, syn: frames.into_iter().next().context("one frame")?, _pair: pair })
    }

    fn segment(&self) -> Result<Segment> {
        parse(&self.syn, ChecksumPolicy::Full).map_err(|reason| anyhow::anyhow!("{reason:?}"))
    }

    /// The SYN-ACK that Linux would send, as it may be spoilt.
    fn syn_ack(&self, spoil: impl FnOnce(&mut Head, &mut SynOptions)) -> Result<Vec<u8>> {
        let syn = self.segment()?;
        let Options::Syn(offered) = syn.options else { anyhow::bail!("{:?}", syn.options) };
        let mut head = Head {
            tuple: syn.tuple,
            seq: SeqNum(0xffff_ff00),
            ack: SeqNum(syn.seq.0.wrapping_add(1)),
            flags: Flags::SYN | Flags::ACK,
            window: 65_160,
            options: Options::NONE,
            marking: Marking::DEFAULT,
        };
        let mut options = SynOptions {
            mss: Mss::announced(1460),
            window_scale: offered.window_scale.map(|_| WindowScale::clamped(7)),
            sack_permitted: offered.sack_permitted,
            timestamps: offered.timestamps.map(|syn| Timestamps { value: 77, echo: syn.value }),
        };
        spoil(&mut head, &mut options);
        head.options = Options::Syn(options);
        self.written(&head, &[])
    }

    fn written(&self, head: &Head, payload: &[u8]) -> Result<Vec<u8>> {
        let mut frame = vec![0; HEADROOM + payload.len()];
        let mut writer = SegmentWriter::new(&mut frame, &self.segment()?.link, head);
        writer.append(payload);
        let length = writer.finish();
        frame.truncate(length);
        Ok(frame)
    }

    /// What the validator takes this for.
    fn sight(&mut self, frame: &[u8]) -> Result<Vec<Sight>> {
        let before = self.validator.sights()?;
        self.validator.show(frame)?;
        let seen = self.validator.sights()?.since(&before);
        Ok(Sight::ALL.into_iter().filter(|sight| seen.of(*sight) > 0).collect())
    }

    fn must_be(&mut self, sight: Sight, frame: &[u8], why: &str) -> Result<()> {
        let seen = self.sight(frame)?;
        ensure!(seen == [sight], "{why}: {seen:?}, not {sight:?}: {frame:02x?}");
        Ok(())
    }
}

fn good_syn_acks_are_valid() -> Result<()> {
    for form in [SynForm::Bare, SynForm::Client] {
        let mut bench = Bench::new(form)?;
        let frame = bench.syn_ack(|_, _| {})?;
        bench.must_be(Sight::Valid, &frame, "as Linux answers")?;
        let frame = bench.syn_ack(|_, options| *options = SynOptions { mss: options.mss, ..SynOptions::default() })?;
        bench.must_be(Sight::Valid, &frame, "nothing but MSS")?;
        let mut padded = frame;
        padded.resize(80, 0xaa);
        bench.must_be(Sight::Valid, &padded, "padding of the link is nobody's affair")?;
    }
    Ok(())
}

fn each_kind_of_bad_syn_ack_is_invalid() -> Result<()> {
    type Spoil = fn(&mut Head, &mut SynOptions);
    let kinds: [(&str, Sight, Spoil); 9] = [
        ("one too much", Sight::BadAcknowledgment, |head, _| head.ack.0 = head.ack.0.wrapping_add(1)),
        ("the SYN not counted", Sight::BadAcknowledgment, |head, _| head.ack.0 = head.ack.0.wrapping_sub(1)),
        ("bytes swapped", Sight::BadAcknowledgment, |head, _| head.ack.0 = head.ack.0.swap_bytes()),
        ("from another port of the source", Sight::BadAcknowledgment, |head, _| head.tuple.remote.port ^= 1),
        ("with PSH", Sight::BadFlags, |head, _| head.flags |= Flags::PSH),
        ("with FIN", Sight::BadFlags, |head, _| head.flags |= Flags::FIN),
        ("without MSS", Sight::BadOptions, |_, options| options.mss = None),
        ("another timestamp echoed", Sight::BadOptions, |_, options| {
            options.timestamps = options.timestamps.map(|stamps| Timestamps { echo: stamps.echo ^ 1, ..stamps });
        }),
        ("its timestamp echoed backwards", Sight::BadOptions, |_, options| {
            options.timestamps =
                options.timestamps.map(|stamps| Timestamps { echo: stamps.echo.swap_bytes(), ..stamps });
        }),
    ];
    let mut bench = Bench::new(SynForm::Client)?;
    for (why, sight, spoil) in kinds {
        let frame = bench.syn_ack(spoil)?;
        bench.must_be(sight, &frame, why)?;
    }
    let mut head = None;
    bench.syn_ack(|good, options| head = Some(Head { options: Options::Syn(*options), ..*good }))?;
    let with_data = bench.written(&head.context("just written")?, b"too early")?;
    bench.must_be(Sight::Torn, &with_data, "with data")
}

fn what_was_not_offered_must_not_be_answered() -> Result<()> {
    let mut bench = Bench::new(SynForm::Bare)?;
    for (why, spoil) in [
        ("SACK", (|options| options.sack_permitted = true) as fn(&mut SynOptions)),
        ("window scale", |options| options.window_scale = Some(WindowScale::clamped(7))),
        ("timestamps", |options| options.timestamps = Some(Timestamps { value: 1, echo: 0 })),
    ] {
        let frame = bench.syn_ack(|_, options| spoil(options))?;
        bench.must_be(Sight::BadOptions, &frame, why)?;
    }
    Ok(())
}

/// Where the low byte of the IPv4 packet's length is.
const IP_LENGTH: usize = 17;
const IP_CHECKSUM: usize = 24;
const TCP_CHECKSUM: usize = 50;
const TCP_OPTIONS: usize = 54;

fn a_broken_header_is_told_from_a_broken_segment() -> Result<()> {
    let mut bench = Bench::new(SynForm::Client)?;
    let good = bench.syn_ack(|_, _| {})?;
    let spoilt = |at: usize| {
        let mut frame = good.clone();
        frame[at] ^= 0x40;
        frame
    };
    bench.must_be(Sight::BadIpChecksum, &spoilt(IP_CHECKSUM), "IPv4 checksum")?;
    bench.must_be(Sight::BadTcpChecksum, &spoilt(TCP_CHECKSUM), "TCP checksum")?;
    bench.must_be(Sight::BadTcpChecksum, &spoilt(good.len() - 1), "the last byte of the options")?;
    bench.must_be(Sight::Torn, &spoilt(IP_LENGTH), "a packet longer than its frame")?;
    // An option of no length, with the checksum put right.
    let mut frame = good.clone();
    let length = std::mem::take(&mut frame[TCP_OPTIONS + 1]);
    let sum = u16::from_be_bytes([frame[TCP_CHECKSUM], frame[TCP_CHECKSUM + 1]]);
    let (sum, carry) = sum.overflowing_add(length.into());
    frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
    bench.must_be(Sight::BadOptions, &frame, "an option of no length")
}

fn what_is_no_syn_ack_is_counted_as_what_it_is() -> Result<()> {
    let mut bench = Bench::new(SynForm::Client)?;
    let syn = bench.syn.clone();
    bench.must_be(Sight::Reflected, &syn, "the SYN itself")?;
    let tuple = bench.segment()?.tuple;
    let (seq, ack, window, options) = (SeqNum(1), SeqNum(2), 100, Options::NONE);
    for (sight, flags, payload) in [
        (Sight::Reset, Flags::RST, &b""[..]),
        (Sight::Other, Flags::ACK, b""),
        (Sight::Data, Flags::ACK | Flags::PSH, b"hello"),
    ] {
        let frame =
            bench.written(&Head { tuple, seq, ack, flags, window, options, marking: Marking::DEFAULT }, payload)?;
        bench.must_be(sight, &frame, &format!("{flags:?}"))?;
    }
    let mut arp = syn;
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    ensure!(bench.sight(&arp)?.is_empty(), "what is not TCP over IPv4 is not counted");
    Ok(())
}

fn an_unfinished_checksum_is_taken_only_where_it_may_be() -> Result<()> {
    let mut bench = Bench::new(SynForm::Client)?;
    let mut frame = bench.syn_ack(|_, _| {})?;
    let tuple = bench.segment()?.tuple;
    let octets = |endpoint: synward_proto::Endpoint| match endpoint.addr {
        std::net::IpAddr::V4(addr) => addr,
        std::net::IpAddr::V6(_) => unreachable!("the bench is of IPv4"),
    };
    let length = u16::try_from(frame.len() - 34)?;
    let sum: u32 = [octets(tuple.local), octets(tuple.remote)]
        .into_iter()
        .flat_map(|addr| [addr.to_bits() >> 16, addr.to_bits() & 0xffff])
        .chain([6, length.into()])
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16))?;
    frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    bench.must_be(Sight::BadTcpChecksum, &frame, "of a system that has no hardware below it")?;
    let pair = &bench._pair;
    let allowing = Expectation { unfinished_checksums: true, ..expectation(pair.far(), SynForm::Client) };
    bench.validator.expect(&allowing)?;
    bench.must_be(Sight::Valid, &frame, "of a kernel")?;
    frame[TCP_CHECKSUM] ^= 1;
    bench.must_be(Sight::BadTcpChecksum, &frame, "neither finished nor unfinished")
}

fn one_in_1024_is_sampled() -> Result<()> {
    let mut bench = Bench::new(SynForm::Client)?;
    let frame = bench.syn_ack(|_, _| {})?;
    // Counts are by core.
    synward_bench::pin(&[0])?;
    let mut records = bench.validator.take_records().context("fresh")?;
    for _ in 0..SAMPLE_EVERY - 1 {
        bench.validator.show(&frame)?;
    }
    ensure!(records.take()?.is_none());
    bench.validator.show(&frame)?;
    ensure!(records.take()?.as_deref() == Some(&frame[..]));
    ensure!(records.take()?.is_none());
    Ok(())
}

/// Floods `host`'s echo on the kernel's TCP from `attacker`, until some dozens have been let in; what the far end made of it.
fn flooded(front: &Host, attacker: &Host, form: SynForm) -> Result<(Sights, synward_bench::completion::Completions)> {
    let expectation = Expectation { unfinished_checksums: true, ..expectation(front, form) };
    let far_end = FarEnd::start(attacker, front.mac(), &expectation, &[])?;
    let config = FloodConfig {
        form,
        seed: SEED,
        rate: 50_000,
        attack: Attack::Mixed,
        duration: Duration::from_secs(60),
        ..FloodConfig::new(attacker.interface(), front.mac(), target(front).into())
    };
    let flood = attacker.enter(|| Flood::start(&config))??;
    while far_end.sights()?.of(Sight::Valid) < 40 * SAMPLE_EVERY {
        std::thread::sleep(Duration::from_millis(10));
        ensure!(flood.sent()? < 2_000_000, "few answers to many SYNs: {:?}", far_end.sights()?);
    }
    flood.stop()?;
    Ok((far_end.sights()?, far_end.settle()?))
}

fn lab() -> Result<Lab> {
    let far = End { offloads: Offloads::default(), ..End::default() };
    let front = End { offloads: Offloads { gro: true, ..Offloads::default() }, ..End::default() };
    Ok(Lab::up(&LabConfig { front, far, clients: 0, ..LabConfig::default() })?)
}

fn with_echo<T: Send>(front: &Host, port: u16, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let http = SocketAddr::new(front.ipv4().into(), 80);
    let echo = SocketAddr::new(front.ipv4().into(), port);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| front.enter(|| kernel_server::serve(http, echo, 4096, stopped)));
        let outcome = work();
        let _ = stop.send(());
        server.join().map_err(|_| anyhow::anyhow!("the server panicked"))???;
        outcome
    })
}

fn cookies_of_the_kernel(form: SynForm) -> Result<()> {
    let lab = lab()?;
    let front = lab.front();
    front.set_sysctl("net.ipv4.tcp_syncookies", "2")?;
    let (sights, completions) = with_echo(front, PORT, || flooded(front, &lab.attackers()[0], form))?;
    ensure!(sights.invalid() == 0, "{sights:?}");
    // The kernel refuses the flood's ACKs.
    ensure!(sights.of(Sight::Reset) > 1000, "{sights:?}");
    ensure!(completions.completed >= 20 && completions.echoed * 10 >= completions.completed * 9, "{completions:?}");
    ensure!(completions.forged > completions.completed && completions.forged_echoed == 0, "{completions:?}");
    Ok(())
}

/// A server that echoes whatever it is sent, cookie or not, would be found out.
fn a_server_that_lets_everybody_in_is_found_out() -> Result<()> {
    let pair = Pair::up(&PairConfig { far: End::default(), ..PairConfig::default() })?;
    let (front, attacker) = (pair.near(), pair.far());
    let far_end = FarEnd::start(attacker, front.mac(), &expectation(front, SynForm::Client), &[])?;
    front.enter(|| -> Result<()> {
        let socket = synward_lab::PacketSocket::open(front.interface())?;
        while far_end.sights()?.of(Sight::Data) == 0 {
            let frame = socket.receive(Some(Duration::from_secs(10)))?;
            let Ok(segment) = parse(&frame, ChecksumPolicy::AllowUnfinished) else { continue };
            if segment.tuple.local.port != PORT {
                continue;
            }
            let Segment { tuple, seq, ack, window, options, .. } = segment;
            let head =
                Head { tuple, seq: ack, ack: seq, flags: Flags::ACK, window, options, marking: Marking::DEFAULT };
            let payload = segment.payload.of(&frame);
            let mut echo = vec![0; HEADROOM + payload.len()];
            let mut writer = SegmentWriter::new(&mut echo, &segment.link, &head);
            writer.append(payload);
            let length = writer.finish();
            socket.send(&echo[..length])?;
        }
        Ok(())
    })??;
    let completions = far_end.settle()?;
    ensure!(completions.forged_echoed > 0 && completions.echoed == 0, "{completions:?}");
    Ok(())
}

/// What XDP_TX and a forwarder send back is what was sent; XDP_DROP sends nothing.
fn bare_systems_send_back_what_was_sent() -> Result<()> {
    let pair = Pair::up(&PairConfig { far: End::default(), ..PairConfig::default() })?;
    let (front, attacker) = (pair.near(), pair.far());
    let config = FloodConfig {
        form: SynForm::Client,
        seed: SEED,
        duration: Duration::from_secs(60),
        ..FloodConfig::new(attacker.interface(), front.mac(), target(front).into())
    };
    let far_end = FarEnd::start(attacker, front.mac(), &expectation(front, SynForm::Client), &[])?;
    let reflected = |at_least: u64| -> Result<u64> {
        let before = far_end.sights()?;
        let flood = attacker.enter(|| Flood::start(&config))??;
        while flood.sent()? < 20_000 || far_end.sights()?.since(&before).of(Sight::Reflected) < at_least {
            std::thread::sleep(Duration::from_millis(1));
            ensure!(flood.sent()? < 1_000_000, "{:?}", far_end.sights()?);
        }
        flood.stop()?;
        let sights = far_end.sights()?.since(&before);
        // What the completer forges goes the same way, and has no numbers of the flood's.
        ensure!(sights.invalid() + sights.of(Sight::Valid) == 0, "{sights:?}");
        ensure!(sights.of(Sight::Other) < 1_000, "{sights:?}");
        Ok(sights.of(Sight::Reflected))
    };
    let bare = front.enter(|| Bare::attach(front.interface(), Fate::Reflect))??;
    ensure!(reflected(10_000)? >= 10_000);
    drop(bare);
    let forwarder = Forwarder::start(front, front.interface(), &[])?;
    ensure!(reflected(10_000)? >= 10_000);
    drop(forwarder);
    let bare = front.enter(|| Bare::attach(front.interface(), Fate::Drop))??;
    // What the last one sent may still be under way.
    ensure!(reflected(0)? < 1_000);
    drop(bare);
    Ok(())
}

fn a_program_is_rehearsed_where_it_is() -> Result<()> {
    let pair = Pair::up(&PairConfig { far: End::default(), ..PairConfig::default() })?;
    let (front, attacker) = (pair.near(), pair.far());
    let config = FloodConfig::new(attacker.interface(), front.mac(), target(front).into());
    // XDP_DROP and XDP_TX of `enum xdp_action`.
    for (fate, action) in [(Fate::Drop, 1), (Fate::Reflect, 3)] {
        let (_bare, program) = front.enter(|| -> Result<_> {
            let bare = Bare::attach(front.interface(), fate)?;
            Ok((bare, Interface::by_name(front.interface())?.xdp[0].program_id))
        })??;
        let cost = attacker.enter(|| run_cost(&config, program, 10_000))??;
        ensure!(cost.action == action, "{cost:?}");
    }
    let missing = attacker.enter(|| run_cost(&config, u32::MAX, 1))?.err().context("no such program")?.to_string();
    ensure!(missing.contains("no program"), "{missing}");
    ensure!(attacker.stats()?.tx_packets < 1_000, "a rehearsal sends nothing");
    Ok(())
}

/// With lists and flows in it, none of them the flood's: SYNs get cookies, ACKs that guess one are dropped.
fn a_filled_shield_answers_syns_as_a_client_takes_it() -> Result<()> {
    let pair = Pair::up(&PairConfig { far: End::default(), ..PairConfig::default() })?;
    let (front, attacker) = (pair.near(), pair.far());
    let far_end = FarEnd::start(attacker, front.mac(), &expectation(front, SynForm::Client), &[])?;
    let filling = Filling { prefixes: 1_000, flows: 1_000 };
    let shield = FilledShield::attach(front, front.interface(), target(front), filling)?;
    let config = |attack| FloodConfig {
        attack,
        form: SynForm::Client,
        seed: SEED,
        duration: Duration::from_secs(60),
        ..FloodConfig::new(attacker.interface(), front.mac(), target(front).into())
    };
    let program = shield.program_id();
    for (attack, action) in [(Attack::Syn, 3), (Attack::Ack, 1)] {
        let cost = attacker.enter(|| run_cost(&config(attack), program, 8_000))??;
        ensure!(cost.action == action, "{attack:?}: {cost:?}");
    }
    let flood = attacker.enter(|| Flood::start(&config(Attack::Mixed)))??;
    while far_end.sights()?.of(Sight::Valid) < 10_000 {
        std::thread::sleep(Duration::from_millis(1));
        ensure!(flood.sent()? < 1_000_000, "{:?}", far_end.sights()?);
    }
    flood.stop()?;
    let sights = far_end.sights()?;
    ensure!(sights.invalid() + sights.of(Sight::Reset) + sights.of(Sight::Reflected) == 0, "{sights:?}");
    let refused =
        FilledShield::attach(front, front.interface(), target(front), Filling { prefixes: u32::MAX, flows: 1 });
    let refused = refused.err().context("there are not so many prefixes")?.to_string();
    ensure!(refused.contains("prefixes"), "{refused}");
    Ok(())
}
