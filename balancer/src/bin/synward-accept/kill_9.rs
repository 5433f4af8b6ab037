//! A front end that is killed a thousand times under load, and started again each time as if nothing had been.

use crate::Options;
use crate::bed::Bed;
use crate::memory::mebibytes;
use crate::row::Row;
use anyhow::{Context, Result, anyhow, ensure};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use synward_bench::flood::{Flood, FloodConfig};
use synward_bench::processes::resident;
use synward_ebpf::{Interface, Loaded};

/// SYNs a second, all the while.
const FLOOD: u64 = 20_000;
/// Clients that ask one after the other, each all the while.
const CLIENTS: usize = 4;
/// Requests that are answered before each kill.
const ANSWERED: u64 = 10;
/// How long a client waits for an answer: longer than it takes to start.
const ANSWER: Duration = Duration::from_millis(500);
/// How long whatever must happen may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// A start may take so long, from the call to the first answer on the control socket.
const START: Duration = Duration::from_secs(1);
/// How much more memory the kernel may have at the end: one life's maps and frames are several times that.
const KERNEL_GROWTH: u64 = 32 << 20;
/// How much more a front may have than the first one had.
const FRONT_GROWTH: u64 = 8 << 20;
/// Where the kernel keeps the ports that it gives to nobody.
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

/// What was seen of each life.
#[derive(Default)]
struct Lives {
    starts: Vec<Duration>,
    /// From the start to the first answer to a client.
    answers: Vec<Duration>,
    /// From the kill to the kernel's refusal of a client.
    refusals: Vec<Duration>,
    resident: Vec<u64>,
    /// Lives of which something was left.
    left: u32,
}

pub fn run(options: &Options) -> Result<Vec<Row>> {
    let mut bed = Bed::attacked()?;
    // The first life is another's: what it reserved is what each of the others reserves, too.
    let reserved = bed.lab.front().sysctl(RESERVED)?;
    let flood = flood(&bed)?;
    let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (address, client) = (bed.address(), bed.client().clone());
    let before = kernel_memory()?;
    let lives = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| client.enter(|| ask_until(address, &stop, &answered)));
        }
        let lives = live(&mut bed, options.kills, &reserved, &answered);
        stop.store(true, Ordering::Relaxed);
        lives
    })?;
    let sent = flood.stop()?.sent;
    let growth = kernel_memory()?.saturating_sub(before);
    drop(bed.front);
    let cleared = bed.lab.front().sysctl(RESERVED)?;
    let mut rows = rows(&lives, options.kills, growth);
    rows.push(Row::new(
        "source ports reserved after the last, which was asked to end",
        "none",
        shown(&cleared),
        cleared.is_empty(),
    ));
    rows.push(Row::report(
        "requests answered / SYNs of the flood meanwhile",
        format!("{} / {sent}", answered.into_inner()),
    ));
    Ok(rows)
}

fn flood(bed: &Bed) -> Result<synward_bench::flood::Running> {
    let (attacker, front) = (&bed.lab.attackers()[0], bed.lab.front());
    let duration = Duration::from_secs(24 * 3600);
    let config =
        FloodConfig { rate: FLOOD, duration, ..FloodConfig::new(attacker.interface(), front.mac(), bed.address()) };
    attacker.enter(|| Flood::start(&config))?
}

/// Asks again and again, whatever comes of it.
fn ask_until(front: SocketAddr, stop: &AtomicBool, answered: &AtomicU64) {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&front, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: front\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    while !stop.load(Ordering::Relaxed) {
        match ask() {
            Ok(true) => drop(answered.fetch_add(1, Ordering::Relaxed)),
            // Refused at once while nobody is there.
            _ => sleep(Duration::from_millis(5)),
        }
    }
}

fn live(bed: &mut Bed, kills: u32, reserved: &str, answered: &AtomicU64) -> Result<Lives> {
    let mut lives = Lives::default();
    bed.front.process().kill()?;
    bed.front.process().wait()?;
    for life in 0..kills {
        let begin = Instant::now();
        bed.front.start_again()?;
        lives.starts.push(begin.elapsed());
        let before = answered.load(Ordering::Relaxed);
        wait_until("a client that is answered", || Ok(answered.load(Ordering::Relaxed) > before))?;
        lives.answers.push(begin.elapsed());
        wait_until("clients that are served", || Ok(answered.load(Ordering::Relaxed) >= before + ANSWERED))?;
        let front = bed.front.process().id();
        lives.resident.push(resident(front)?);
        let held = Loaded::of_process(front)?;
        ensure!(!held.programs.is_empty() && !held.links.is_empty(), "{held:?} is not all that it must have");
        let killed = Instant::now();
        bed.front.process().kill()?;
        wait_until("a client that the kernel refuses", || is_refused(bed))?;
        lives.refusals.push(killed.elapsed());
        bed.front.process().wait()?;
        lives.left += u32::from(!leaves_nothing(bed, &held, reserved)?);
        if life % 100 == 99 {
            eprintln!("accept: kill-9: {} killed", life + 1);
        }
    }
    bed.front.start_again()?;
    Ok(lives)
}

fn is_refused(bed: &Bed) -> Result<bool> {
    let knocked = bed.client().enter(|| TcpStream::connect_timeout(&bed.address(), ANSWER))?;
    Ok(knocked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
}

/// Nothing hangs on the interface; programs, maps and links are gone once the kernel has got round to it, and the reserved ports are
/// those that the next one reserves.
fn leaves_nothing(bed: &Bed, held: &Loaded, reserved: &str) -> Result<bool> {
    let front = bed.lab.front();
    let attached = front.enter(|| Interface::by_name(front.interface()))??.xdp;
    let gone = wait_until("BPF objects gone", || Ok(held.common(&Loaded::now()) == Loaded::default()));
    let ports = front.sysctl(RESERVED)?;
    let nothing = attached.is_empty() && gone.is_ok() && ports == reserved;
    if !nothing {
        eprintln!("accept: kill-9: left: {attached:?}, {:?}, {ports}", held.common(&Loaded::now()));
    }
    Ok(nothing)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// What the kernel has taken for itself where BPF maps and rings are: bytes of `VmallocUsed` and `Percpu` (proc_meminfo(5)).
fn kernel_memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).ok_or_else(|| anyhow!("{name}{line}"))
    };
    Ok((field("VmallocUsed:")? + field("Percpu:")?) * 1024)
}

fn rows(lives: &Lives, kills: u32, growth: u64) -> Vec<Row> {
    let Lives { starts, answers, refusals, resident, left } = lives;
    let (first, most) =
        (resident.first().copied().unwrap_or_default(), resident.iter().copied().max().unwrap_or_default());
    let killed = refusals.len() as u32;
    let slow = starts.iter().filter(|start| **start >= START).count();
    vec![
        Row::new("killed under load", kills.to_string(), killed.to_string(), killed == kills),
        Row::new("lives of which a program, a map, a link or a port was left", "0", left.to_string(), *left == 0),
        Row::new(
            "from the call to the control socket's answer, median / worst",
            format!("below {START:?}"),
            times(starts),
            slow == 0,
        ),
        Row::report("from the call to the first client's answer, median / worst", times(answers)),
        Row::report("from the kill to the kernel's refusal, median / worst", times(refusals)),
        Row::new(
            "the kernel's memory for maps and rings, more at the end",
            format!("at most {}", mebibytes(KERNEL_GROWTH)),
            mebibytes(growth),
            growth <= KERNEL_GROWTH,
        ),
        Row::new(
            "resident memory of a front, the first / the largest",
            format!("within {}", mebibytes(FRONT_GROWTH)),
            format!("{} / {}", mebibytes(first), mebibytes(most)),
            most - first <= FRONT_GROWTH,
        ),
    ]
}

fn times(all: &[Duration]) -> String {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let millis = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    format!("{:.1} / {:.1} ms", millis(sorted.get(sorted.len() / 2)), millis(sorted.last()))
}

fn shown(list: &str) -> String {
    if list.is_empty() { "none".to_owned() } else { list.to_owned() }
}
