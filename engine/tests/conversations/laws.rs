//! What no single conversation can show: laws of several connections, or of the index itself.

use crate::index::{Index, Proof, Record};
use crate::requirements::Requirements;
use std::net::IpAddr;
use std::time::Duration;
use synward_engine::{ConnectConfig, EngineConfig, ListenConfig, NextHops, Secrets};
use synward_lab::{Pair, PairConfig};
use synward_proto::connection::CongestionAlgorithm;
use synward_proto::{Endpoint, Flags};
use synward_testkit::engine::Host;
use synward_testkit::path::{self, Buffers, Path, Plan};
use synward_testkit::play::MACS;
use synward_testkit::wire::{self, IpFields, WireOption, WireSegment};

/// A law: its name, what it proves, and itself.
pub struct Law {
    /// Its name.
    pub name: &'static str,
    /// What it proves.
    pub proves: &'static [&'static str],
    /// Whether it makes namespaces.
    pub needs_root: bool,
    /// Fails by its error.
    pub check: fn() -> Result<(), String>,
}

/// All of them.
pub const LAWS: [Law; 7] = [
    Law {
        name: "initial_numbers_of_other_ends_have_nothing_in_common",
        proves: &["MUST-9", "SHLD-1", "RFC-6528", "RFC-2525.2.3"],
        needs_root: false,
        check: initial_numbers,
    },
    Law {
        name: "timestamps_of_other_hosts_have_nothing_in_common",
        proves: &["RFC-7323.7"],
        needs_root: false,
        check: timestamps,
    },
    Law { name: "source_ports_are_hard_to_guess", proves: &["RFC-6056"], needs_root: false, check: source_ports },
    Law {
        name: "a_source_address_is_asked_of_the_routing_table",
        proves: &["MUST-44"],
        needs_root: true,
        check: source_address,
    },
    Law {
        name: "slow_start_ends_before_it_overruns_the_path",
        proves: &["RFC-9406.4"],
        needs_root: false,
        check: slow_start_ends,
    },
    Law { name: "index_a_row_that_nothing_proved_is_a_hole", proves: &[], needs_root: false, check: holes },
    Law { name: "index_a_claim_must_name_a_row", proves: &[], needs_root: false, check: claims },
];

/// What the engine with the secrets of `seed` answers to a SYN of host `host` and port `port` at `at`.
fn syn_ack(seed: u64, host: u8, port: u16, at: Duration) -> Result<WireSegment, String> {
    let address = |number: u8| Endpoint::new([198, 18, 0, number].into(), if number == 1 { 80 } else { port });
    let config = EngineConfig { secrets: Some(Secrets::from_seed(seed)), ..EngineConfig::default() };
    let mut engine = Host::new(config).map_err(|error| error.to_string())?;
    let listen = ListenConfig { backlog: 8, ..ListenConfig::new(address(1)) };
    let sockets = engine.sockets().ok_or("no sockets")?;
    sockets.listen(listen).map_err(|error| error.to_string())?;
    engine.rest(at);
    engine.receive(&wire::encode(MACS, &syn(address(host), address(1)), false));
    engine.rest(at);
    let answer = engine.take_sent().ok_or("no answer")?;
    wire::decode(&answer).map(|(_, segment)| segment).map_err(|error| error.to_string())
}

fn syn(source: Endpoint, destination: Endpoint) -> WireSegment {
    WireSegment {
        source,
        destination,
        flags: Flags::SYN,
        seq: 1000,
        ack: 0,
        window: 64_240,
        urgent: 0,
        options: vec![WireOption::Mss(1460), WireOption::Timestamps(1, 0)],
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    }
}

/// The numbers of 64 ports differ in about half of all bits, and another secret gives others.
fn initial_numbers() -> Result<(), String> {
    let of = |seed, port| syn_ack(seed, 2, port, Duration::ZERO).map(|answer| answer.seq);
    spread((0..64).map(|index| of(1, 40_000 + index)).collect::<Result<_, _>>()?)?;
    if of(1, 40_000)? != of(1, 40_000)? {
        return Err("the same ends, time and secret give two numbers".into());
    }
    spread((0..64).map(|seed| of(seed, 40_000)).collect::<Result<_, _>>()?)
}

/// The clocks of 64 hosts differ in about half of all bits; two connections of one host share theirs (and a reconnect is thus never
/// taken for old).
fn timestamps() -> Result<(), String> {
    let of = |host, port| {
        let answer = syn_ack(1, host, port, Duration::ZERO)?;
        let stamp = answer.options.iter().find_map(|option| match option {
            WireOption::Timestamps(value, _) => Some(*value),
            _ => None,
        });
        stamp.ok_or(String::from("no timestamps"))
    };
    if of(2, 40_000)? != of(2, 40_001)? {
        return Err("two connections of one pair of hosts have two clocks".into());
    }
    spread((2..66).map(|host| of(host, 40_000)).collect::<Result<_, _>>()?)
}

/// Sixty-four numbers are all different, and each two neighbours differ in 16 bits of 32 on average: a mean beyond 14 to 18 has odds
/// of one in ten thousand millions (the deviation of the mean of 63 is 0.36).
fn spread(mut numbers: Vec<u32>) -> Result<(), String> {
    let bits: u32 = numbers.windows(2).map(|pair| (pair[0] ^ pair[1]).count_ones()).sum();
    let mean = f64::from(bits) / (numbers.len() - 1) as f64;
    if !(14.0..18.0).contains(&mean) {
        return Err(format!("neighbours differ in {mean} bits of 32"));
    }
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() == 64 { Ok(()) } else { Err(format!("{} different numbers of 64", numbers.len())) }
}

/// The ports of 64 connects to one peer do not follow each other, and another secret chooses others (RFC 6056, section 3.3.3).
fn source_ports() -> Result<(), String> {
    let ports = |seed| -> Result<Vec<u16>, String> {
        let config = EngineConfig { secrets: Some(Secrets::from_seed(seed)), ..EngineConfig::default() };
        let mut engine = Host::new(config).map_err(|error| error.to_string())?;
        for host in 2..66 {
            let remote = Endpoint::new([198, 18, 0, host].into(), 443);
            let local = Endpoint::new([198, 18, 0, 1].into(), 0);
            let connect = ConnectConfig::new(local, remote, synward_testkit::engine::LINK);
            engine.sockets().ok_or("no sockets")?.connect(connect).map_err(|error| error.to_string())?;
        }
        engine.rest(Duration::ZERO);
        let frames = std::iter::from_fn(|| engine.take_sent());
        let port = |frame: Vec<u8>| wire::decode(&frame).map(|(_, syn)| syn.source.port);
        frames.map(port).collect::<Result<_, _>>().map_err(|error| error.to_string())
    };
    let (first, second) = (ports(1)?, ports(2)?);
    let in_step = first.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
    if first.len() != 64 || in_step > 4 {
        return Err(format!("{} connects, {in_step} of them with a port beside the one before", first.len()));
    }
    if first == second { Err("another secret chooses the same ports".into()) } else { Ok(()) }
}

/// Slow start alone overruns a path and its queue by as much as they hold, and loses that; the rise of the round trip ends it before it
/// is so far, and the path is used all the same.
fn slow_start_ends() -> Result<(), String> {
    const RATE: u64 = 20_000_000;
    const FRAME: u64 = 1514;
    let round_trip = Duration::from_millis(100);
    let on_the_way = RATE / 8 / 10;
    let path = Path { rate: RATE, queue: 3 * on_the_way, loss: 0 };
    let buffers = Buffers { send: 4 << 20, receive: 4 << 20, receive_max: 4 << 20 };
    let plan = Plan { algorithm: CongestionAlgorithm::Cubic, round_trip, buffers, starts: Duration::ZERO };
    let outcome = path::run(1, &path, &[plan], Duration::from_secs(1), Duration::from_secs(3))?;
    let flow = outcome.first().ok_or("no flow")?;
    let (held, goodput) = ((on_the_way + path.queue) / FRAME, flow.goodput(Duration::from_secs(2)));
    if u64::from(flow.retransmits) > held / 3 || goodput < RATE as f64 / 2.0 {
        return Err(format!("{} retransmissions where {held} frames fit, {goodput} bits a second", flow.retransmits));
    }
    Ok(())
}

/// Where an open is not told what address to come from, the kernel's routing table says it, and the SYN has it.
fn source_address() -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let pair = Pair::up(&PairConfig::default()).map_err(|error| error.to_string())?;
    let far = IpAddr::V4(pair.far().ipv4());
    let hops = pair.near().enter(|| NextHops::start([far])).map_err(|error| error.to_string())?;
    let hops = hops.map_err(|error| error.to_string())?;
    hops.wait_until_resolved(PATIENCE).map_err(|missing| format!("{missing:?}"))?;
    let hop = hops.lookup(far).map_err(|error| error.to_string())?;
    let mut engine = Host::new(EngineConfig::default()).map_err(|error| error.to_string())?;
    let connect = ConnectConfig::new(Endpoint::new(hop.source, 0), Endpoint::new(far, 443), hop.link);
    engine.sockets().ok_or("no sockets")?.connect(connect).map_err(|error| error.to_string())?;
    engine.rest(Duration::ZERO);
    let (_, syn) = wire::decode(&engine.take_sent().ok_or("no SYN")?).map_err(|error| error.to_string())?;
    let wanted = IpAddr::V4(pair.near().ipv4());
    if syn.source.addr == wanted {
        Ok(())
    } else {
        Err(format!("the SYN comes from {}, not {wanted}", syn.source.addr))
    }
}

const ROWS: &str = "[rfc9293]\nMUST-1 = [\"3.1\", \"One.\"]\nSHLD-2 = [\"3.5\", \"Two.\"]\n[rfcs]\n[threats]\n\
     \"3.1\" = { text = \"Both.\", by = [\"MUST-1\", \"SHLD-2\"] }\n";

fn proof(proves: &str) -> Proof {
    Proof {
        name: String::from("a"),
        path: String::from("a.talk"),
        proves: vec![proves.to_owned()],
        trials: vec![String::from("engine4::a"), String::from("broken4::a")],
        kernel: vec![String::from("kernel4::a")],
        without_kernel: None,
    }
}

/// A claim counts once everything that it needs has run and passed, and while Linux does not object.
fn holes() -> Result<(), String> {
    let requirements = Requirements::parse(ROWS, "SHLD-2 = \"no\"")?;
    let proofs = [proof("MUST-1")];
    type Run<'a> = &'a [(&'a str, bool)];
    let runs: [(Run<'_>, &[&str]); 5] = [
        (&[], &["MUST-1", "threats 3.1"]),
        (&[("engine4::a", true)], &["MUST-1", "threats 3.1"]),
        (&[("engine4::a", true), ("broken4::a", false)], &["MUST-1", "threats 3.1"]),
        (&[("engine4::a", true), ("broken4::a", true), ("kernel4::a", false)], &["MUST-1", "threats 3.1"]),
        (&[("engine4::a", true), ("broken4::a", true)], &[]),
    ];
    for (run, wanted) in runs {
        let record = Record::default();
        run.iter().for_each(|(trial, passed)| record.note(trial, *passed));
        let index = Index::new(&requirements, &proofs, &record);
        let holes: Vec<&str> = index.holes().into_iter().map(|row| row.id.as_str()).collect();
        if holes != wanted {
            return Err(format!("after {run:?} the holes are {holes:?}"));
        }
    }
    Ok(())
}

/// Unknown names, proofs of deviations, and deviations that are not allowed are refused.
fn claims() -> Result<(), String> {
    let record = Record::default();
    let cases = [("MUST-1", "", 0), ("MUST-2", "", 1), ("SHLD-2", "SHLD-2 = \"no\"", 1), ("threats 3.1", "", 1)];
    for (claim, deviations, wrong) in cases {
        let requirements = Requirements::parse(ROWS, deviations)?;
        let proofs = [proof(claim)];
        let found = Index::new(&requirements, &proofs, &record).wrong_claims();
        if found.len() != wrong {
            return Err(format!("{claim}: {found:?}"));
        }
    }
    let refused = ["MUST-1 = \"no\"", "MUST-30 = \"no such row\"", "SHLD-2 = \" \""];
    match refused.iter().find(|deviations| Requirements::parse(ROWS, deviations).is_ok()) {
        Some(allowed) => Err(format!("{allowed} is allowed")),
        None => Ok(()),
    }
}
