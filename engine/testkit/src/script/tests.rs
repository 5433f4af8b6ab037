//! What is a script, and what a text that is none is told.

use super::*;
use crate::target::{Direction, Queue, Ready};
use crate::wire::EcnMark;

fn parse(text: &str) -> Result<Script, ScriptError> {
    Script::parse(Path::new("talks/some.talk"), text)
}

fn steps(text: &str) -> Vec<Step> {
    parse(&format!("kernel 100s\n{text}")).expect("a script").steps
}

fn only_step(text: &str) -> Step {
    let mut steps = steps(text);
    assert_eq!(steps.len(), 1);
    steps.remove(0)
}

/// The place and the message of the error in `text`, whose first line is the header.
fn error(text: &str) -> (usize, usize, String) {
    let ScriptError { line, column, message, .. } = parse(&format!("kernel 100s\n{text}")).expect_err("no script");
    (line, column, message)
}

fn number(number: u32) -> Expr {
    Expr::Sum(vec![Term { negative: false, atom: Atom::Number(number) }])
}

fn name_plus(name: &str, plus: u32) -> Expr {
    let name = ValueName { peer: None, name: name.into() };
    let atoms = [Atom::Name(name), Atom::Number(plus)];
    Expr::Sum(atoms.into_iter().map(|atom| Term { negative: false, atom }).collect())
}

#[test]
fn the_example_of_the_style_is_understood() {
    let text = "@0ms   -> S   seq 1000 win 64240 <mss 1460, sack, ws 7>\n\
                @0ms   <- SA  seq $iss ack 1001 win 65535 <mss 1460, sack, ws 8>\n\
                @12ms  -> A   seq 1001 ack $iss+1 win 502\n\
                @12ms  accept $c\n\
                @5s    silence\n\
                -> A   seq 5 ack 123456 win 1\n\
                <- R   seq 123456\n\
                drop bad_cookie 1\n";
    let steps = steps(text);
    assert_eq!(steps.len(), 8);
    assert_eq!(steps[2].when, When::At(Duration::from_millis(12)));
    let Action::Inject(ack) = &steps[2].action else { panic!("{:?}", steps[2]) };
    assert_eq!((ack.flags, &ack.ack, &ack.window), (Flags::ACK, &Some(name_plus("iss", 1)), &Some(number(502))));
    let Action::Expect(syn_ack) = &steps[1].action else { panic!("{:?}", steps[1]) };
    let options = [OptionLine::Mss(number(1460)), OptionLine::SackPermitted, OptionLine::WindowScale(number(8))];
    assert_eq!(syn_ack.options, options);
    assert!(!syn_ack.open);
}

#[test]
fn times_are_absolute_relative_or_a_span() {
    let span = When::Between(Duration::from_secs(1), Duration::from_micros(1_200_500));
    assert_eq!(only_step("@1s..1200.5ms <- A ..").when, span);
    assert_eq!(only_step("@+1.5s silence").when, When::After(Duration::from_millis(1500)));
    assert_eq!(only_step("silence").when, When::Same);
}

#[test]
fn every_word_of_a_segment_has_its_place() {
    let step = only_step(
        "engine: b <- APu seq $a.iss-1+2*3 ack _ win 0 urg 4 data \"a\\n\\x00\" <ts _/5, sackblocks 1-2 $x+1-3, raw 0aff> ..",
    );
    assert_eq!(step.only, Some(TargetKind::Engine));
    let Action::Expect(segment) = step.action else { panic!("{step:?}") };
    assert_eq!(segment.peer, 1);
    assert_eq!((segment.flags, segment.optional), (Flags::ACK | Flags::PSH, Flags::URG));
    let iss = Atom::Name(ValueName { peer: Some(0), name: "iss".into() });
    let seq = [(false, iss), (true, Atom::Number(1)), (false, Atom::Number(6))];
    let seq = seq.into_iter().map(|(negative, atom)| Term { negative, atom }).collect();
    assert_eq!(segment.seq, Some(Expr::Sum(seq)));
    assert_eq!((segment.ack, segment.window, segment.urgent), (Some(Expr::Any), Some(number(0)), Some(number(4))));
    assert_eq!(segment.payload, Some(Bytes::Literal(b"a\n\0".to_vec())));
    let options = [
        OptionLine::Timestamps(Expr::Any, number(5)),
        OptionLine::SackBlocks(vec![(number(1), number(2)), (name_plus("x", 1), number(3))]),
        OptionLine::Raw(vec![0x0a, 0xff]),
    ];
    assert_eq!(segment.options, options);
    assert!(segment.open);
}

#[test]
fn loops_are_unrolled_and_their_variables_join_words() {
    let script =
        parse("kernel 1s\nfor $i in 2..3\n c$i -> R seq 1000+$i\n accept $s$i from c$i\nend\n").expect("a script");
    let names: Vec<&str> = script.peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["a", "c2", "c3"]);
    let sockets: Vec<&Action> = script.steps.iter().skip(1).step_by(2).map(|step| &step.action).collect();
    let accepted =
        |socket: &str, from| Action::Accept(Outcome::Done(Accepted { socket: socket.into(), from: Some(from) }));
    assert_eq!(sockets, [&accepted("s2", 1), &accepted("s3", 2)]);
    assert_eq!(script.steps[3].line, 4, "a line keeps its number in every turn");
}

#[test]
fn calls_say_what_they_give() {
    let read = |text: &str| match only_step(text).action {
        Action::Read { outcome, .. } => outcome,
        other => panic!("{other:?}"),
    };
    assert_eq!(read("read $c eof"), Outcome::Done(Reading::Eof));
    assert_eq!(read("read $c blocks"), Outcome::Blocks);
    assert_eq!(read("read $c error ECONNRESET"), Outcome::Error("ECONNRESET".into()));
    let hello = Reading::Data { len: 5, bytes: Some(b"hello".to_vec()) };
    assert_eq!(read("read $c 5 \"hello\""), Outcome::Done(hello));
    let write = only_step("write $c len 9 takes 4").action;
    let outcome = Outcome::Done(Taken::Some(4));
    assert_eq!(write, Action::Write { socket: "c".into(), payload: Bytes::Pattern(9), outcome });
}

#[test]
fn header_lines_set_the_stage() {
    let text = "ip 6\nbacklog 8\nsyncookies 2\nabort_on_overflow 1\nkeepalive idle 2s interval 1s probes 3\nmtu 1280\ncongestion cubic\necn 1\nuser_timeout 5s\n\
                peer b host 9 port 7 to 81\nproves MUST-12 threats 4.2\nproves RFC-5961\nkernel skip \"why\"\nconnect $c to d\n";
    let script = parse(text).expect("a script");
    let setup = &script.setup;
    assert!(setup.only == Some(Ip::V6) && setup.abort_on_overflow);
    assert_eq!((setup.backlog, setup.syncookies, setup.mtu), (8, 2, 1280));
    let keepalive = Keepalive { idle: Duration::from_secs(2), interval: Duration::from_secs(1), probes: 3 };
    assert_eq!(setup.keepalive, Some(keepalive));
    assert_eq!(setup.kernel, KernelRun::Skip("why".into()));
    assert_eq!((setup.congestion, setup.ecn), (Some(Algorithm::Cubic), 1));
    assert_eq!(setup.user_timeout, Some(Duration::from_secs(5)));
    assert_eq!(setup.proves, ["MUST-12", "threats 4.2", "RFC-5961"]);
    assert_eq!(script.peers[1], Peer { name: "b".into(), host: 9, port: 7, to: 81, address: None, at: None });
    assert_eq!(script.peers[2].to, 50_002, "a peer that is connected to is not the listener's");
}

#[test]
fn the_headers_before_tcp_have_words() {
    let Action::Inject(segment) =
        only_step("-> A seq 1 ack 2 win 3 ce tos 0x28 ttl 9 id 7 vlan 5 vlan 6 ipoptions 0101 fragment").action
    else {
        panic!("a segment that goes in");
    };
    let envelope = EnvelopeLine {
        ecn: Some(EcnMark::Ce),
        tos: Some(number(0x28)),
        ttl: Some(number(9)),
        id: Some(number(7)),
        vlans: vec![5, 6],
        options: vec![1, 1],
        fragment: true,
    };
    assert_eq!(segment.envelope, envelope);
}

#[test]
fn an_icmp_error_has_numbers_in_each_family_that_has_it() {
    let step = only_step("b -> icmp frag_needed mtu 1400 quoting seq $iss+1 short badsum");
    let Action::Icmp(line) = step.action else { panic!("{step:?}") };
    assert_eq!((line.peer, line.kind.numbers(Ip::V4), line.kind.numbers(Ip::V6)), (1, Some((3, 4)), Some((2, 0))));
    assert_eq!(
        (line.mtu, line.seq, line.short, line.bad_checksum),
        (Some(number(1400)), name_plus("iss", 1), true, true)
    );
    let step = only_step("-> icmp source_quench quoting seq 1");
    let Action::Icmp(line) = step.action else { panic!("{step:?}") };
    assert_eq!((line.kind.numbers(Ip::V4), line.kind.numbers(Ip::V6)), (Some((4, 0)), None));
}

#[test]
fn options_and_questions_have_words() {
    let set = |text: &str| match only_step(text).action {
        Action::Set { setting, outcome, .. } => (setting, outcome),
        other => panic!("{other:?}"),
    };
    assert_eq!(set("set $c cork 1"), (Setting::Cork(true), Outcome::Done(())));
    assert_eq!(set("set $c user_timeout 5s").0, Setting::UserTimeout(Duration::from_secs(5)));
    assert_eq!(set("set $c congestion reno").0, Setting::Congestion(Algorithm::Reno));
    assert_eq!(set("set $c maxseg 1 error EINVAL").1, Outcome::Error("EINVAL".into()));
    let ready = Ready::IN | Ready::HUP;
    assert_eq!(only_step("poll $c hup in").action, Action::Poll { socket: "c".into(), ready });
    assert_eq!(only_step("poll $c").action, Action::Poll { socket: "c".into(), ready: Ready::empty() });
    let fields = vec![("snd_cwnd".into(), 10), ("rto".into(), 200_000)];
    assert_eq!(only_step("info $c snd_cwnd 10 rto 200000").action, Action::Info { socket: "c".into(), fields });
    let queued = Action::Queued { socket: "c".into(), queue: Queue::Out, bytes: 7 };
    assert_eq!(only_step("outq $c 7").action, queued);
    assert_eq!(
        only_step("shutdown $c both").action,
        Action::Shutdown { socket: "c".into(), direction: Direction::Both }
    );
    assert_eq!(steps("silence\nmtu 1400")[1].action, Action::Mtu(1400));
}

#[test]
fn a_line_is_for_a_target_a_family_or_both_of_these() {
    let script = parse("kernel 1s\nengine: ip6: silence\nip4: silence\nkernel: silence\n").expect("a script");
    let count = |target, ip| script.over(ip).steps_for(target).count();
    assert_eq!(count(TargetKind::Engine, Ip::V4), 1);
    assert_eq!(count(TargetKind::Engine, Ip::V6), 1);
    assert_eq!(count(TargetKind::Kernel, Ip::V4), 2);
    assert_eq!(count(TargetKind::Kernel, Ip::V6), 1);
    assert_eq!(script.families(), [Ip::V4, Ip::V6]);
    assert_eq!(parse("kernel 1s\nip 6\nsilence\n").expect("a script").families(), [Ip::V6]);
}

#[test]
fn every_kind_of_demand_has_an_opposite() {
    let text = "<- A seq 1 ack 2 win _ ect0 tos 4 ttl 9 id 7 vlan 5\npoll $c in\ninq $c 1\noutq $c 2\ninfo $c rto 1 rtt 2\n\
                listen 80 error EADDRINUSE\nconnect $d error ENETUNREACH\nset $c maxseg 1 error EINVAL\n\
                -> icmp port_unreachable quoting seq 1\nmtu 1400\nset $c cork 1\n";
    let script = parse(&format!("kernel 1s\n{text}")).expect("a script");
    let lines: Vec<usize> = script.broken(TargetKind::Engine).map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 2, 2, 2, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9]);
    let changed = |(line, broken): (usize, Script)| broken.steps[line - 2].action != script.steps[line - 2].action;
    assert!(script.broken(TargetKind::Engine).all(changed));
}

#[test]
fn an_error_says_where_and_what_would_be_right() {
    let cases = [
        ("-> X seq 1 win 1", 4, "here stands `X`, wanted control bits: letters of SFRPAUEWN, or `0` for none"),
        ("-> S win 1", 11, "here stands the end of the line, wanted `seq` and a number, or `..` after what comes out"),
        (
            "<- A seq 1 win 1",
            17,
            "here stands the end of the line, wanted `ack` and a number exactly where the flags have A, or `..` after what comes out",
        ),
        (
            "<- S seq 1",
            11,
            "here stands the end of the line, wanted `win` and a number (`_` for any), or `..` after what comes out",
        ),
        ("-> S seq 1 win 1 <mss 1460 sack>", 28, "here stands `sack`, wanted `,` and another option, or `>`"),
        ("-> S seq _ win 1", 10, "here stands `_`, wanted a number below 2³², or a value such as `$iss`"),
        (
            "-> S seq 4294967296 win 1",
            10,
            "here stands `4294967296`, wanted a number below 2³², or a value such as `$iss`",
        ),
        ("-> S seq 1 win 1 ..", 20, "here stands the end of the line, wanted no `..` on a segment that goes in"),
        ("@12 silence", 2, "here stands `12`, wanted a time, as in `12ms` or `1.5s`"),
        ("@1s..2s silence", 1, "here stands `@`, wanted a single time: only a `<-` line can have a span of time"),
        ("read $c 4 \"hello\"", 9, "here stands `4`, wanted the number of bytes in the quotes"),
        ("drop bad_cooky 1", 6, "here stands `bad_cooky`, wanted the name of a drop reason, as in `drop bad_cookie 1`"),
        ("silence now", 9, "here stands `now`, wanted the end of the line"),
        ("-> S seq 1 win 1 data \"x", 25, "the text has no closing `\"`"),
        ("-> S seq 1; win 1", 11, "`;` means nothing here"),
        ("silence\nbacklog 8", 1, "`backlog` belongs in the header, before the first step"),
        ("for $i in 1..2\nsilence", 1, "this `for` has no `end`"),
        ("end", 1, "`end` without `for`"),
        (
            "-> icmp nonsense quoting seq 1",
            9,
            "here stands `nonsense`, wanted `net_unreachable` or `host_unreachable` or `protocol_unreachable` or `port_unreachable` or `frag_needed` or `source_route_failed` or `prohibited` or `source_quench` or `redirect` or `time_exceeded` or `parameter_problem` or `beyond_scope`",
        ),
        (
            "info $c rto",
            12,
            "here stands the end of the line, wanted a field of TCP_INFO and its value, as in `info $c snd_cwnd 10`",
        ),
        (
            "proves MUST",
            12,
            "here stands the end of the line, wanted a requirement, as in `proves MUST-12 threats 4.2`",
        ),
    ];
    for (text, column, message) in cases {
        let (_, found_column, found) = error(text);
        assert_eq!((found_column, found.as_str()), (column, message), "{text}");
    }
    let shown = parse("kernel 1s\n  silense\n").expect_err("no script").to_string();
    assert!(shown.starts_with("talks/some.talk:2:3: here stands `silense`"), "{shown}");
    assert!(shown.ends_with("\n  |   silense\n  |   ^"), "{shown}");
}

#[test]
fn the_kernel_needs_to_be_given_its_time() {
    assert!(parse("silence\n").is_err_and(|error| error.message.contains("how long the kernel needs")));
    let short = parse("kernel 1s\n@900ms silence\n@+200ms silence\n");
    assert!(short.is_err_and(|error| error.message.contains("the steps last 1.1s")));
    assert!(parse("kernel 1s\nengine: @5s silence\n").is_ok(), "what the engine does in virtual time costs nothing");
}
