//! Many clients with all kinds of manners over a network that loses, doubles, delays, reorders and spoils frames, by seed.
//!
//! Whatever happens, no byte is lost, doubled or changed; a conversation that nobody resets is carried to its end unless
//! an engine gives up a connection; and then nothing is left. A failing seed is printed; `PROXY_SEED` runs it alone, and `PROXY_SEEDS` says how many are run.

use crate::Test;
use crate::bed::{Backend, Bed, Family, Layout, Side, Spec};
use crate::end::{End, pattern};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use synward_proto::Counter;
use synward_testkit::hostile::{Rng, Weather};

pub const TESTS: &[Test] = &[("no_byte_is_lost_in_any_weather", any_weather)];

/// Seeds run on each layout.
const SEEDS: u64 = 12;
/// Every conversation is over by then: whoever lost its peer without hearing of it is reset when it has been idle.
const LIMIT: Duration = Duration::from_secs(3 * 3600);

fn any_weather(layout: Layout) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("PROXY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROXY_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| simulate(layout, seed))) {
            eprintln!("{}: seed {seed} failed", layout.name);
            resume_unwind(panic);
        }
    }
}

fn simulate(layout: Layout, seed: u64) {
    let mut world = World::draw(layout, seed);
    let clients = 1 + world.random.below(8);
    for _ in 0..clients {
        world.begin();
        let pause = Duration::from_millis(world.random.below(500));
        world.live(pause);
    }
    let mut lived = Duration::ZERO;
    while world.talkers.iter().any(|talker| !talker.over) {
        assert!(lived < LIMIT, "never ends: {:#?}", world.talkers);
        let step = Duration::from_millis(100 + world.random.below(5_000));
        world.live(step);
        lived += step;
    }
    world.assert_complete();
    world.bed.switch.clear_weather();
    // What was closed over a bad network takes its time.
    world.bed.advance(Duration::from_secs(2_000));
    world.bed.assert_clean();
}

/// The application at one end of a conversation.
struct Talker {
    side: Side,
    /// Which conversation it is. Backends learn it from the first byte.
    number: Option<usize>,
    end: End,
    /// All that the other end sends.
    wanted: Vec<u8>,
    /// It resets when it has received so much.
    resets_at: Option<usize>,
    over: bool,
}

struct World {
    bed: Bed,
    random: Rng,
    talkers: Vec<Talker>,
    /// By conversation: whether one of its ends will reset.
    is_reset: Vec<bool>,
    /// By conversation: what its backend does.
    answers: Vec<Answer>,
}

/// What a backend does once it knows which conversation it has.
#[derive(Clone, Debug)]
struct Answer {
    sends: Vec<u8>,
    wanted: Vec<u8>,
    resets_at: Option<usize>,
}

impl World {
    fn draw(layout: Layout, seed: u64) -> Self {
        let mut random = Rng::new(seed);
        let backends: Vec<_> = (0..1 + random.below(3)).map(|_| Backend::Serving).collect();
        let (listener, pool) = ("idle_timeout = '20m'", "connect_timeout = '1m'");
        let mut bed = Bed::new(&Spec { backends: &backends, listener, pool, ..Spec::new(layout) });
        if random.chance(900) {
            bed.switch.set_weather(&Weather::draw(&mut random));
        }
        Self { bed, random, talkers: Vec::new(), is_reset: Vec::new(), answers: Vec::new() }
    }

    /// A client connects. The first byte that it sends is the number of its conversation.
    fn begin(&mut self) {
        let number = self.answers.len();
        let family = if self.random.chance(500) { Family::V4 } else { Family::V6 };
        let (up, down) = (self.draw_bytes(), self.draw_bytes());
        let up = [&[number as u8], &up[..]].concat();
        let (is_reset, by_client) = (self.random.chance(250), self.random.chance(500));
        let after = self.random.below(1 + if by_client { down.len() } else { up.len() } as u64) as usize;
        let resets_at = |is_it: bool| (is_reset && is_it).then_some(after);
        let end = End::new(self.bed.dial(family)).sends(up.clone()).ends();
        self.talkers.push(Talker {
            side: Side::Client,
            number: Some(number),
            end,
            wanted: down.clone(),
            resets_at: resets_at(by_client),
            over: false,
        });
        self.is_reset.push(is_reset);
        self.answers.push(Answer { sends: down, wanted: up, resets_at: resets_at(!by_client) });
    }

    fn draw_bytes(&mut self) -> Vec<u8> {
        let len = [0, 1, 5_000, 300_000, 900_000][self.random.below(5) as usize];
        pattern(self.random.next(), len)
    }

    /// Every conversation that nobody reset was carried to its end, but for those of which an engine gave up a connection after many
    /// retransmissions in a row.
    fn assert_complete(&self) {
        let complete = |talker: &&Talker| talker.end.error.is_none() && talker.end.eof;
        let ends_of = |number| self.talkers.iter().filter(move |talker| talker.number == Some(number)).filter(complete);
        let wanted = self.is_reset.iter().enumerate().filter(|(_, is_reset)| !**is_reset);
        let cut = wanted.filter(|&(number, _)| ends_of(number).count() != 2).count() as u64;
        let observers = [&self.bed.clients.observer, &self.bed.backends.observer, &self.bed.front.observer];
        let given_up: u64 = observers.iter().map(|observer| observer.counter(Counter::TCPAbortOnTimeout)).sum();
        assert!(cut <= given_up, "{cut} were cut and {given_up} given up: {:#?}", self.talkers);
    }

    /// Lets time pass, and all talk.
    fn live(&mut self, span: Duration) {
        for talker in &mut self.talkers {
            talker.end.reads = self.random.chance(850);
        }
        let alive = self.talkers.iter_mut().filter(|talker| !talker.over);
        let mut ends: Vec<_> = alive.map(|talker| (talker.side, &mut talker.end)).collect();
        self.bed.advance_with(span, &mut ends);
        while let Some((_, accepted)) = self.bed.accept_any() {
            self.talkers.push(Talker {
                side: Side::Backend,
                number: None,
                end: End::new(accepted.socket),
                wanted: Vec::new(),
                resets_at: None,
                over: false,
            });
        }
        for talker in self.talkers.iter_mut().filter(|talker| !talker.over) {
            talker.learn(&self.answers);
            talker.check();
            talker.part(&mut self.bed);
        }
    }
}

impl Talker {
    /// A backend finds out which conversation it has.
    fn learn(&mut self, answers: &[Answer]) {
        let (None, Some(&number)) = (self.number, self.end.received.first()) else { return };
        let Answer { sends, wanted, resets_at } = answers[usize::from(number)].clone();
        (self.number, self.wanted, self.resets_at) = (Some(number.into()), wanted, resets_at);
        self.end.say(sends);
    }

    fn check(&self) {
        let End { received, eof, .. } = &self.end;
        assert!(self.wanted.starts_with(received), "{:?}: after {} bytes others came", self.number, received.len());
        assert!(!eof || self.number.is_none() || *received == self.wanted, "the stream ended after {}", received.len());
    }

    /// Resets when its time has come, and closes when all is done.
    fn part(&mut self, bed: &mut Bed) {
        let End { socket, received, error, .. } = &self.end;
        let resets = error.is_some() || self.resets_at.is_some_and(|at| self.number.is_some() && received.len() >= at);
        let sockets = &mut bed.host(self.side).sockets;
        if resets {
            sockets.abort(*socket).expect("open");
        } else if self.end.is_done() {
            sockets.close(*socket).expect("open");
        } else {
            return;
        }
        self.over = true;
    }
}

impl fmt::Debug for Talker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, number, end, wanted, resets_at, over } = self;
        let wanted = wanted.len();
        write!(f, "{side:?} {number:?}: {end:?}, wanted {wanted}, resets at {resets_at:?}, over {over}")
    }
}
