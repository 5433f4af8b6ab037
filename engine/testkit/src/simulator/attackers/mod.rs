//! Strangers who mean harm, beside honest clients.

mod blind;
mod floods;
mod zombies;

pub(super) use blind::FORGED;
pub(super) use zombies::Zombies;

use super::faults::Side;
use super::options::{Options, address};
use super::watcher::Watcher;
use crate::hostile::Rng;
use crate::play::MACS;
use crate::wire::{IpFields, WireOption, WireSegment, encode};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use synward_proto::{Endpoint, Flags};

/// Frames that an attacker who listens on the way remembers.
const REMEMBERED: usize = 64;

/// An attack.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it is.
    pub kind: AttackKind,
    /// When it begins.
    pub at: Duration,
    /// Between two shots.
    pub interval: Duration,
    /// Shots.
    pub count: u32,
    /// Frames in each.
    pub frames: u32,
}

/// What an attacker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttackKind {
    /// SYNs from addresses that nobody has, some from the client's.
    SynFlood,
    /// ACKs out of nothing, some with data.
    AckFlood,
    /// ACKs that resemble those that complete a handshake, for the cookies in them.
    ForgedCookies,
    /// RSTs at live connections whose numbers are wrong.
    WrongReset,
    /// RSTs at live connections whose numbers are right: the one attack that succeeds.
    RightReset,
    /// SYNs and SYN-ACKs at live connections.
    BlindSyn,
    /// Data at live connections with one number that is wrong.
    BlindData,
    /// ICMP errors about live connections.
    Icmp,
    /// SACK blocks that make no sense, at live connections.
    Sack,
    /// Frames of others once more.
    Replay,
    /// Frames of others with flipped bits, cut short, and noise.
    Garbage,
    /// Hosts that do take part: those that never complete a handshake, hold a closed window, send a byte here and a byte there, or
    /// acknowledge what was not sent.
    Zombies,
}

impl AttackKind {
    const ALL: [Self; 12] = [
        Self::SynFlood,
        Self::AckFlood,
        Self::ForgedCookies,
        Self::WrongReset,
        Self::RightReset,
        Self::BlindSyn,
        Self::BlindData,
        Self::Icmp,
        Self::Sack,
        Self::Replay,
        Self::Garbage,
        Self::Zombies,
    ];

    /// Whether it is about the connections of others.
    const fn is_about_others(self) -> bool {
        !matches!(self, Self::SynFlood | Self::AckFlood | Self::Zombies)
    }
}

impl Attack {
    /// None in a third of all runs, up to six in the others.
    pub(super) fn draw_all(rng: &mut Rng, options: &Options) -> Vec<Self> {
        let count = if rng.chance(350) { 0 } else { 1 + rng.below(6) };
        (0..count).map(|_| Self::draw(rng, options)).collect()
    }

    fn draw(rng: &mut Rng, options: &Options) -> Self {
        let mut kind = AttackKind::ALL[rng.below(AttackKind::ALL.len() as u64) as usize];
        if kind == AttackKind::RightReset && rng.chance(700) {
            kind = AttackKind::WrongReset;
        }
        let calm = options.calm.as_nanos() as u64;
        let count = 1 + rng.below(150);
        Self {
            kind,
            at: Duration::from_nanos(rng.below(calm / 2)),
            interval: Duration::from_nanos(1 + rng.below(calm / count)),
            count: count as u32,
            frames: 1 + rng.below(8) as u32,
        }
    }
}

/// What an attacker knows.
pub(super) struct View<'a> {
    pub options: &'a Options,
    pub watcher: &'a Watcher,
    /// Hosts that do at once what there is to do, and whose every word is on the wire.
    pub plain: &'a [Side],
    /// The last frames on the way, and whom they were for.
    pub seen: &'a VecDeque<(Side, Vec<u8>)>,
}

/// A frame of an attacker's.
pub(super) struct Shot {
    pub to: Side,
    pub frame: Vec<u8>,
    /// What it says, if it can be read at all, is said by the host that it names, or was before.
    pub genuine: bool,
}

/// An attack under way.
#[derive(Debug)]
struct Underway {
    attack: Attack,
    next: Duration,
    left: u32,
}

/// All attackers of a run.
pub(super) struct Attackers {
    underway: Vec<Underway>,
    seen: VecDeque<(Side, Vec<u8>)>,
    rng: Rng,
    pub zombies: Zombies,
    /// ACKs that may, by chance, carry a valid cookie.
    pub guesses: u64,
}

impl Attackers {
    pub fn new(options: &Options, mut rng: Rng) -> Self {
        let begin = |attack: &Attack| Underway { next: attack.at, left: attack.count, attack: attack.clone() };
        let zombies = Zombies::new(options, rng.fork());
        Self { underway: options.attacks.iter().map(begin).collect(), seen: VecDeque::new(), rng, zombies, guesses: 0 }
    }

    /// A frame on the way.
    pub fn see(&mut self, to: Side, frame: &[u8]) {
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((to, frame.to_vec()));
    }

    /// When the next shot is due.
    pub fn next_shot(&self) -> Option<Duration> {
        let shots = self.underway.iter().filter(|underway| underway.left > 0).map(|underway| underway.next);
        shots.chain(self.zombies.next_shot()).min()
    }

    /// All of them give up.
    pub fn stop(&mut self) {
        self.underway.clear();
        self.zombies.stop();
    }

    /// Whatever is due by `now` is shot.
    pub fn shoot(&mut self, now: Duration, options: &Options, watcher: &Watcher, plain: &[Side]) -> Vec<Shot> {
        let Self { underway, seen, rng, zombies, guesses } = self;
        let view = View { options, watcher, plain, seen };
        // Whose connections were told something at this moment: what the attackers know of them is no longer true.
        let mut touched = BTreeSet::new();
        let own = |(to, frame)| Shot { to, frame, genuine: true };
        let mut shots: Vec<Shot> = zombies.shoot(now).into_iter().map(own).collect();
        for underway in underway.iter_mut().filter(|underway| underway.left > 0 && underway.next <= now) {
            underway.left -= 1;
            underway.next = now + underway.attack.interval;
            for _ in 0..underway.attack.frames {
                let kind = underway.attack.kind;
                let Some((to, frame)) = shoot_once(kind, rng, &view, zombies, now) else { continue };
                if kind.is_about_others() && !touched.insert(to) {
                    continue;
                }
                *guesses += u64::from(matches!(kind, AttackKind::AckFlood | AttackKind::ForgedCookies));
                shots.push(Shot { to, frame, genuine: matches!(kind, AttackKind::Replay | AttackKind::Garbage) });
            }
        }
        shots
    }
}

fn shoot_once(
    kind: AttackKind,
    rng: &mut Rng,
    view: &View<'_>,
    zombies: &mut Zombies,
    now: Duration,
) -> Option<(Side, Vec<u8>)> {
    match kind {
        AttackKind::SynFlood => Some(floods::syn(rng, view.options)),
        AttackKind::AckFlood => Some(floods::ack(rng, view.options)),
        AttackKind::ForgedCookies => floods::forged_cookie(rng, view),
        AttackKind::WrongReset => blind::wrong_reset(rng, view),
        AttackKind::RightReset => blind::right_reset(rng, view),
        AttackKind::BlindSyn => blind::syn(rng, view),
        AttackKind::BlindData => blind::data(rng, view),
        AttackKind::Icmp => blind::icmp(rng, view),
        AttackKind::Sack => blind::sack(rng, view),
        AttackKind::Replay => floods::replay(rng, view),
        AttackKind::Garbage => floods::garbage(rng, view),
        AttackKind::Zombies => {
            zombies.knock(now);
            None
        }
    }
}

/// A segment without options or payload.
fn bare(source: Endpoint, destination: Endpoint, flags: Flags, numbers: (u32, u32)) -> WireSegment {
    WireSegment {
        source,
        destination,
        flags,
        seq: numbers.0,
        ack: numbers.1,
        window: 1024,
        urgent: 0,
        options: Vec::new(),
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    }
}

/// The frame of a segment to the server or to the client.
fn frame(to: Side, segment: &WireSegment) -> (Side, Vec<u8>) {
    let macs = match to {
        Side::Server => MACS,
        Side::Client => MACS.reversed(),
    };
    (to, encode(macs, segment, false))
}

/// What a SYN may offer.
fn offer(rng: &mut Rng) -> Vec<WireOption> {
    let mut options = Vec::new();
    if rng.chance(900) {
        options.push(WireOption::Mss([0, 1, 48, 536, 1220, 1460, 65_535][rng.below(7) as usize]));
    }
    if rng.chance(600) {
        options.push(WireOption::SackPermitted);
    }
    if rng.chance(600) {
        options.push(WireOption::Timestamps(rng.next() as u32, 0));
    }
    if rng.chance(600) {
        options.push(WireOption::WindowScale(rng.below(20) as u8));
    }
    options
}

/// Whether an address is a zombie's.
pub(super) fn is_zombie(options: &Options, end: &Endpoint) -> bool {
    (0..zombies::HOSTS).any(|host| end.addr == address(options.ipv6, zombies::FIRST_HOST + host))
}
