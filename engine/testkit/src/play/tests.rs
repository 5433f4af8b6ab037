//! The player against a target that does what the test says.

use super::*;
use crate::script::Setting;
use crate::target::{Direction, Io, Queue, Ready, Tolerance};
use crate::wire::EcnMark;
use std::collections::VecDeque;
use std::path::Path;
use synward_proto::{Endpoint, Flags};

/// Sends prepared frames at prepared times, whatever it is told.
#[derive(Default)]
struct Puppet {
    now: Duration,
    frames: VecDeque<Sent>,
    overflows: u64,
    disorder: Option<String>,
}

impl Target for Puppet {
    fn now(&self) -> Duration {
        self.now
    }
    fn inject(&mut self, frame: &[u8]) -> bool {
        self.overflows += 1;
        frame.len() < 1000
    }
    fn next_frame(&mut self, until: Duration) -> Option<Sent> {
        let next = self.frames.pop_front_if(|sent| sent.at <= until);
        self.now = next.as_ref().map_or(until, |sent| sent.at).max(self.now);
        next
    }
    fn tolerance(&self, _step: Duration) -> Tolerance {
        Tolerance::NONE
    }
    fn settle(&mut self, _at: Duration) {}
    fn pause(&mut self) -> bool {
        false
    }
    fn set_mtu(&mut self, _mtu: u16) -> Io<()> {
        Io::Done(())
    }
    fn listen(&mut self, _port: u16) -> Io<()> {
        Io::Failed(String::from("EADDRINUSE"))
    }
    fn set(&mut self, _socket: SocketKey, _setting: Setting) -> Io<()> {
        Io::Done(())
    }
    fn ready(&mut self, _socket: SocketKey) -> Io<Ready> {
        Io::Done(Ready::IN | Ready::HUP)
    }
    fn queued(&mut self, _socket: SocketKey, queue: Queue) -> Io<u64> {
        Io::Done(if queue == Queue::In { 5 } else { 7 })
    }
    fn info(&mut self, _socket: SocketKey, field: &str) -> Io<Option<u64>> {
        Io::Done((field == "snd_cwnd").then_some(10))
    }
    fn accept(&mut self) -> Io<(SocketKey, Endpoint)> {
        Io::Done((SocketKey(0), Endpoint::new([198, 18, 0, 2].into(), 40_000)))
    }
    fn connect(&mut self, _local: Endpoint, _remote: Endpoint) -> Io<SocketKey> {
        Io::Failed(String::from("EINVAL"))
    }
    fn connected(&mut self, _socket: SocketKey) -> Io<()> {
        Io::Blocks
    }
    fn read(&mut self, _socket: SocketKey, max: usize) -> Io<Vec<u8>> {
        Io::Done(b"hello"[..max.min(5)].to_vec())
    }
    fn write(&mut self, _socket: SocketKey, bytes: &[u8]) -> Io<usize> {
        Io::Done(bytes.len())
    }
    fn shutdown(&mut self, _socket: SocketKey, _direction: Direction) -> Io<()> {
        Io::Done(())
    }
    fn close(&mut self, _socket: SocketKey) -> Io<()> {
        Io::Done(())
    }
    fn abort(&mut self, _socket: SocketKey) -> Io<()> {
        Io::Done(())
    }
    fn counter(&mut self, name: &str) -> Option<u64> {
        (name == "ListenOverflows").then_some(self.overflows)
    }
    fn drops(&mut self, _reason: &str) -> Option<u64> {
        None
    }
    fn half_open(&mut self) -> u64 {
        3
    }
    fn check_end(&mut self) -> Result<(), String> {
        self.disorder.take().map_or(Ok(()), Err)
    }
}

/// A SYN-ACK to the first peer.
fn syn_ack() -> WireSegment {
    WireSegment {
        source: Endpoint::new([198, 18, 0, 1].into(), 80),
        destination: Endpoint::new([198, 18, 0, 2].into(), 40_000),
        flags: Flags::SYN | Flags::ACK,
        seq: u32::MAX,
        ack: 1001,
        window: 65_535,
        urgent: 0,
        options: vec![WireOption::Mss(1460), WireOption::SackPermitted, WireOption::WindowScale(7)],
        payload: Vec::new(),
        ip: IpFields::default(),
        vlans: Vec::new(),
    }
}

fn at(millis: u64, segment: &WireSegment) -> Sent {
    Sent { at: Duration::from_millis(millis), frame: wire::encode(MACS.reversed(), segment, false) }
}

/// Plays `text` with these frames coming out; the line and the difference of the failure.
fn run(text: &str, frames: Vec<Sent>) -> Result<(), (usize, String)> {
    let script = Script::parse(Path::new("test.talk"), &format!("kernel 9s\n{text}")).expect("a script");
    let mut puppet = Puppet { frames: frames.into(), ..Puppet::default() };
    play(&script, TargetKind::Engine, &mut puppet).map_err(|failure| (failure.line, failure.came))
}

fn fails(text: &str, frames: Vec<Sent>, line: usize, came: &str) {
    match run(text, frames) {
        Ok(()) => panic!("should fail: {text}"),
        Err((found, message)) => assert!(found == line && message.contains(came), "line {found}: {message}"),
    }
}

#[test]
fn a_line_that_fits_passes_and_binds() {
    let again = WireSegment { seq: 4, ..syn_ack() };
    let text = "<- SA seq $iss ack 1001 win 65535 <mss 1460, sack, ws 7>\n@5ms <- SA seq $iss+5 ..";
    assert_eq!(run(text, vec![at(0, &syn_ack()), at(5, &again)]), Ok(()));
}

#[test]
fn whatever_is_different_is_said() {
    let cases = [
        ("<- A seq $iss ack 1001 win 65535 <mss 1460, sack, ws 7>", "flags: wanted A, came SA"),
        ("<- SA seq 7 ack 1001 win 65535 <mss 1460, sack, ws 7>", "seq: wanted 7, came 4294967295"),
        ("<- SA seq $iss ack 1 win 65535 <mss 1460, sack, ws 7>", "ack: wanted 1, came 1001"),
        ("<- SA seq $iss ack 1001 win 65534 <mss 1460, sack, ws 7>", "win: wanted 65534, came 65535"),
        ("<- SA seq $iss ack 1001 win _ <mss 1460, sack, ws 8>", "ws: wanted 8, came 7"),
        ("<- SA seq $iss ack 1001 win _ <mss 1460, ws 7, sack>", "wanted ws, came sack"),
        ("<- SA seq $iss ack 1001 win _ <mss 1460, sack>", "options: wanted 2, came 3"),
        ("<- SA seq $iss ack 1001 win _ len 1 <mss 1460, sack, ws 7>", "len: wanted 1, came 0"),
        ("<- SA seq $iss ack $iss win _ <mss 1460, sack, ws 7>", "ack: wanted 4294967295, came 1001"),
        ("<- SA seq $iss+1 ..", "$iss has no value yet"),
        ("<- SA <ws 7, mss 1460> ..", "options: mss is not there"),
        ("b <- SA ..", "not to b"),
        ("@1ms <- SA ..", "too early"),
    ];
    for (line, came) in cases {
        fails(line, vec![at(0, &syn_ack())], 2, came);
    }
}

#[test]
fn the_headers_before_tcp_are_compared() {
    let marked = WireSegment {
        ip: IpFields { ecn: EcnMark::Ect0, tos: 16, ttl: 9, id: 7, options: Vec::new(), fragment: false },
        vlans: vec![5, 6],
        ..syn_ack()
    };
    let frames = || vec![at(0, &marked)];
    let said = "<- SA seq $iss ack 1001 win _ <mss $mss, sack, ws 7> ect0 tos 16 ttl 9 vlan 5 vlan 6";
    assert_eq!(run(said, frames()), Ok(()));
    assert_eq!(run(&format!("{said} id 7"), frames()), Ok(()));
    assert_eq!(run("<- SA ..", frames()), Ok(()), "an open line does not look at what it does not say");
    let cases = [
        ("ect0", "ce", "ECN: came ect0"),
        ("ect0", "", "ECN: came ect0"),
        ("tos 16", "", "tos: wanted 0, came 16"),
        ("tos 16", "tos 8", "tos: wanted 8, came 16"),
        ("ttl 9", "", "ttl: wanted 64, came 9"),
        ("vlan 5", "", "vlan: wanted [6], came [5, 6]"),
        ("ttl 9", "ttl 9 id 8", "id: wanted 8, came 7"),
    ];
    for (right, wrong, came) in cases {
        fails(&said.replace(right, wrong), frames(), 2, came);
    }
}

#[test]
fn nothing_else_may_come_out() {
    let frames = || vec![at(0, &syn_ack()), at(7, &syn_ack())];
    fails("<- SA ..\n@8ms silence", frames(), 3, "at 0.007000s: SA seq");
    fails("<- SA ..\n@7ms -> R seq 1", frames(), 3, "at 0.007000s: SA seq");
    fails("<- SA ..\n@7ms accept $c", frames(), 3, "at 0.007000s: SA seq");
    fails("@9ms silence", frames(), 2, "at 0.000000s: SA seq");
    fails("-> R seq 1", frames(), 2, "at 0.000000s: SA seq");
    fails("<- SA ..\n@6ms <- SA ..", frames(), 3, "nothing until 0.006000s");
    assert_eq!(run("<- SA ..\n@7ms silence\n@7ms <- SA ..", frames()), Ok(()), "silence ends before its time");
    assert_eq!(run("<- SA ..\n@6ms..8ms <- SA ..", frames()), Ok(()));
}

#[test]
fn bytes_are_checked_against_what_was_written() {
    let data = |payload: &[u8], seq| {
        at(0, &WireSegment { flags: Flags::ACK, seq, options: Vec::new(), payload: payload.to_vec(), ..syn_ack() })
    };
    let written = "<- SA ..\naccept $c\nwrite $c \"hello\"\n@1ms <- A len 3 ..";
    let later = |payload, seq| Sent { at: Duration::from_millis(1), ..data(payload, seq) };
    assert_eq!(run(written, vec![at(0, &syn_ack()), later(b"ell", 1)]), Ok(()));
    fails(written, vec![at(0, &syn_ack()), later(b"hel", 1)], 5, "byte 1 of the stream is 0x68, written was 0x65");
    fails(written, vec![at(0, &syn_ack()), later(b"lo!", 3)], 5, "byte 5 of the stream was never written");
    fails(
        "<- SA ..\n<- A len 3 ..",
        vec![at(0, &syn_ack()), data(b"hel", 0)],
        3,
        "byte 0 of the stream was never written",
    );
}

#[test]
fn calls_and_counters_are_compared() {
    fails("accept blocks", vec![], 2, "198.18.0.2:40000");
    fails("accept $c from b", vec![], 2, "one of a");
    fails("accept $c\nread $c 5 \"hullo\"", vec![], 3, "5 bytes \"hello\"");
    fails("accept $c\nread $c blocks", vec![], 3, "bytes \"hello");
    fails("accept $c\nread $c 5", vec![], 3, "5 bytes \"hello\"");
    fails("read $c eof", vec![], 2, "none of that name");
    fails("connect $c", vec![], 2, "error EINVAL");
    fails("connect $c blocks", vec![], 2, "error EINVAL");
    assert_eq!(run("connect $c error EINVAL", vec![]), Ok(()));
    assert_eq!(run("listen 81 error EADDRINUSE", vec![]), Ok(()));
    fails("listen 81", vec![], 2, "error EADDRINUSE");
    assert_eq!(
        run("accept $c\npoll $c hup in\ninq $c 5\noutq $c 7\ninfo $c snd_cwnd 10\nset $c nodelay 1", vec![]),
        Ok(())
    );
    fails("accept $c\npoll $c in", vec![], 3, "in hup");
    fails("accept $c\ninq $c 6", vec![], 3, "5");
    fails("accept $c\ninfo $c snd_cwnd 11", vec![], 3, "10");
    fails("accept $c\ninfo $c snd_wnd 11", vec![], 3, "the target has none");
    fails("accept $c\nset $c nodelay 1 error EINVAL", vec![], 3, "success");
    fails("-> icmp source_route_failed quoting seq $iss", vec![], 2, "$iss has no value yet");
    fails("half_open 2", vec![], 2, "3");
    fails("counter Nonsense +0", vec![], 2, "the target has none");
    fails("-> R seq 1\n-> R seq 1\ncounter ListenOverflows +1", vec![], 4, "+2");
    let since_last = "-> R seq 1\ncounter ListenOverflows +1\n-> R seq 1\ncounter ListenOverflows +1";
    assert_eq!(run(since_last, vec![]), Ok(()));
    assert_eq!(run("accept $c\nread $c 5 \"hello\"", vec![]), Ok(()));
}

#[test]
fn a_frame_that_the_wire_does_not_take_fails() {
    fails("-> A seq 1 ack 1 win 1 len 1000", vec![], 2, "not taken by the wire");
}

#[test]
fn a_line_is_for_the_target_that_it_names() {
    assert_eq!(run("kernel: half_open 2\nengine: half_open 3", vec![]), Ok(()));
    fails("engine: half_open 2", vec![], 2, "3");
}

#[test]
fn a_frame_that_is_not_well_formed_fails() {
    let mut broken = at(0, &syn_ack());
    broken.frame[40] ^= 1;
    fails("<- SA ..", vec![broken], 2, "wrong TCP checksum");
    let mut stray = at(0, &syn_ack());
    stray.frame[0] ^= 4;
    fails("<- SA ..", vec![stray], 2, "[06, 00");
}

#[test]
fn a_failure_tells_the_whole_story() {
    let script = Script::parse(Path::new("a.talk"), "kernel 9s\n-> R seq 5\n@3ms <- SA seq 7 ..\n").expect("a script");
    let mut puppet = Puppet { frames: vec![at(3, &syn_ack())].into(), ..Puppet::default() };
    let failure = play(&script, TargetKind::Engine, &mut puppet).expect_err("it differs");
    let text = "engine: a.talk:3\n  line    @3ms <- SA seq 7 ..\n  wanted  at 0.003000s: the segment of this line\n  \
                came    at 0.003000s: SA seq 4294967295 ack 1001 win 65535 <mss 1460, sack, ws 7>\n          \
                seq: wanted 7, came 4294967295\n  so far\n       0.000000s  a -> R seq 5 win 0\n";
    assert_eq!(failure.to_string(), text);
    assert_eq!(failure.frames.len(), 2, "the record has what went in and what came out");
}

#[test]
fn the_target_must_be_in_order_at_the_end() {
    let script = Script::parse(Path::new("a.talk"), "kernel 9s\nsilence\n").expect("a script");
    let mut puppet = Puppet { disorder: Some("a frame is lost".into()), ..Puppet::default() };
    let failure = play(&script, TargetKind::Engine, &mut puppet).expect_err("it is not in order");
    assert_eq!(failure.came, "a frame is lost");
}
