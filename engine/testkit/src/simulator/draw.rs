//! From a seed to a run.

use super::attackers::Attack;
use super::faults::Fault;
use super::options::{Acceptance, FIRST_PORT, MachineOptions, Options, PathOptions, Plan};
use super::talker::{Flow, Temper};
use crate::hostile::{Bursts, Rng, Weather};
use std::time::Duration;
use synward_engine::{EngineConfig, Secrets, Workers};
use synward_nic::FrameBudget;
use synward_proto::Instant;
use synward_proto::connection::{CongestionAlgorithm, Ecn, Keepalive};
use synward_proto::flood_guard::CookieTimestamps;
use synward_proto::wire::ChecksumPolicy;

/// Without it, an end whose peer has given up would wait for ever.
const KEEPALIVE: Keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 9 };
/// The first of the ports that an engine may choose.
const FIRST_CHOSEN: u16 = 40_000;
/// Clocks that show milliseconds in 31 or 32 bits go round there.
const ROUNDS: [u64; 2] = [1 << 31, 1 << 32];

/// The run of `seed`.
pub(super) fn draw(rng: &mut Rng) -> Options {
    let calm = Duration::from_millis([2_000, 10_000, 40_000, 150_000][rng.below(4) as usize] + rng.below(5_000));
    let (shards, on_poll_loops) = ([1, 1, 2, 3][rng.below(4) as usize], rng.chance(250));
    let workers = if on_poll_loops { Workers::OnPollLoops } else { Workers::Threads(1 + rng.below(3) as u16) };
    let (mut serving, mut dialling) = (draw_config(rng), draw_config(rng));
    if !serving.timestamps || !dialling.timestamps {
        // Else nobody would ever be served.
        serving.cookie_timestamps = CookieTimestamps::Optional;
        dialling.cookie_timestamps = CookieTimestamps::Optional;
    }
    let server = draw_machine(rng, serving, shards, workers);
    let dialling = EngineConfig { max_connections: 64, max_time_waits: 64, orphan_limit: 64, ..dialling };
    let client = draw_machine(rng, dialling, 1, Workers::Threads(1));
    let mut options = Options {
        ipv6: rng.chance(500),
        server,
        client,
        backlog: [1, 2, 4, 8, 64][rng.below(5) as usize],
        acceptance: Acceptance {
            pause: if rng.chance(700) { Duration::ZERO } else { Duration::from_millis(rng.below(3_000)) },
            when_told: rng.chance(500),
        },
        patient: rng.chance(700),
        paths: [draw_path(rng), draw_path(rng)],
        plans: draw_plans(rng, calm),
        faults: Vec::new(),
        attacks: Vec::new(),
        calm,
    };
    options.faults = Fault::draw_all(rng, &options);
    options.attacks = Attack::draw_all(rng, &options);
    if rng.chance(200) {
        let ports = FIRST_CHOSEN..=FIRST_CHOSEN + rng.below(10) as u16;
        options.client.config.source_ports = ports;
        options.plans.iter_mut().for_each(|plan| plan.port = 0);
        introduce(&mut options.plans);
    }
    options
}

/// Each connection says first which plan it is of: its port does not.
fn introduce(plans: &mut [Plan]) {
    for (number, Plan { up, .. }) in plans.iter_mut().enumerate() {
        *up = Flow { length: up.length.max(Flow::TAG), tag: Some(number as u32), ..*up };
    }
}

fn draw_machine(rng: &mut Rng, config: EngineConfig, shards: u16, workers: Workers) -> MachineOptions {
    let round = ROUNDS[rng.below(2) as usize] - rng.below(200_000);
    let epoch = if rng.chance(600) { 100_000_000 + rng.below(1 << 33) } else { round };
    MachineOptions {
        config,
        budget: draw_budget(rng),
        shards,
        workers,
        epoch: Instant::from_millis(epoch),
        scatter: [0, 100, 1000][rng.below(3) as usize],
    }
}

/// From next to nothing to what a small machine has.
fn draw_budget(rng: &mut Rng) -> FrameBudget {
    let frames = 8 << rng.below(6) as u32;
    FrameBudget {
        fill_ring: 2 * frames,
        rx_ring: frames,
        burst: frames.min(64),
        tx_ring: frames,
        completion_ring: 2 * frames,
        transmit_backlog: 2 + rng.below(u64::from(frames)) as u32,
        readers: 4 + rng.below(u64::from(frames)) as u32,
        reply_reserve: 2 + rng.below(u64::from(frames)) as u32 / 2,
    }
}

fn draw_config(rng: &mut Rng) -> EngineConfig {
    let buffer = |rng: &mut Rng| 4096 << rng.below(7);
    let (receive_buffer, send_buffer) = (buffer(rng), buffer(rng));
    let (scaled, small) = (rng.chance(850), rng.chance(150));
    let (receive_buffer, window_scale) =
        if scaled { (receive_buffer, 7 - rng.below(4) as u8) } else { (receive_buffer.min(32_768), 0) };
    let largest_window = 65_535 << window_scale;
    EngineConfig {
        max_connections: if small { 1 + rng.below(8) as u32 } else { 128 },
        max_time_waits: if small { rng.below(4) as u32 } else { 128 },
        orphan_limit: if small { rng.below(4) as u32 } else { 64 },
        syn_table: 16 << rng.below(4),
        somaxconn: if small { 1 + rng.below(8) as u32 } else { 4096 },
        syncookies: rng.below(3) as u8,
        cookie_timestamps: if rng.chance(800) { CookieTimestamps::Optional } else { CookieTimestamps::Required },
        cookie_key_life: Duration::from_secs(16 + rng.below(600)),
        abort_on_overflow: rng.chance(200),
        mtu: 576 + rng.below(925) as u16,
        window_scale: scaled.then_some(window_scale),
        sack: rng.chance(850),
        timestamps: rng.chance(850),
        receive_buffer,
        receive_buffer_max: (receive_buffer << rng.below(4)).min(largest_window),
        send_buffer,
        send_buffer_max: send_buffer << rng.below(4),
        nagle: rng.chance(500),
        quick_acks: rng.chance(700),
        congestion: if rng.chance(500) { CongestionAlgorithm::Cubic } else { CongestionAlgorithm::NewReno },
        ecn: [Ecn::Off, Ecn::WhenAsked, Ecn::Always][rng.below(3) as usize],
        keepalive: Some(KEEPALIVE),
        // The unfinished form lets one corrupted frame in 65,536 through: it is for devices that lose no bits.
        checksums: ChecksumPolicy::Full,
        ring_slots: if small { 1 + rng.below(8) as u32 } else { 4096 },
        frames_per_reader: 1 + rng.below(32) as u32,
        secrets: Some(Secrets::from_seed(rng.next())),
        ..EngineConfig::default()
    }
}

fn draw_path(rng: &mut Rng) -> PathOptions {
    let mut weather = Weather::draw(rng);
    if rng.chance(200) {
        let chance = |rng: &mut Rng, bound| 1 + rng.below(bound) as u32;
        let (begin, end, loss) = (chance(rng, 20), chance(rng, 200), 1000 - chance(rng, 500));
        weather.bursts = Some(Bursts { begin, end, loss, lull: Duration::MAX });
    }
    let narrows = rng.chance(250).then(|| (200_000 << rng.below(8), 4_000 << rng.below(6)));
    PathOptions { weather, narrows }
}

fn draw_plans(rng: &mut Rng, calm: Duration) -> Vec<Plan> {
    let count = 1 + rng.below(10);
    let span = if rng.chance(500) { Duration::from_secs(2) } else { calm };
    let mut plans: Vec<Plan> = (0..count).map(|_| draw_plan(rng, span)).collect();
    plans.sort_by_key(|plan| plan.at);
    let is_sharing = rng.chance(400);
    for number in 0..plans.len() {
        let earlier = rng.below(number as u64 + 1) as usize;
        plans[number].port = if is_sharing { plans[earlier].port } else { 0 };
        if !is_sharing || earlier == number {
            plans[number].port = FIRST_PORT + number as u16;
        }
    }
    if is_sharing {
        introduce(&mut plans);
    }
    plans
}

fn draw_plan(rng: &mut Rng, span: Duration) -> Plan {
    let flow = |rng: &mut Rng| {
        let longest = [0, 10, 3_000, 100_000, Flow::LONGEST][rng.below(5) as usize];
        Flow { salt: rng.next(), length: rng.below(longest + 1), tag: None }
    };
    Plan {
        at: Duration::from_nanos(rng.below(span.as_nanos() as u64)),
        port: 0,
        up: flow(rng),
        down: flow(rng),
        client: Temper::draw(rng),
        server: Temper::draw(rng),
    }
}
