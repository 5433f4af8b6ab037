//! Programs in C that serve and use an interface.

use crate::compiler::{compile, run};
use crate::{Outcome, Test};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use synward_lab::{Host, Pair, PairConfig};

pub const TESTS: &[Test] = &[
    ("echo_server_serves_kernel_clients_and_gives_the_interface_back", echo),
    ("a_client_connects_to_the_kernel", client),
    ("mistakes_are_told", mistakes),
];

/// For what must happen, but at no particular time.
const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 7;

/// A program that runs until its standard input ends.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
}

impl Program {
    /// Starts it, and waits until it has said its first line.
    fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        assert_eq!(line.trim(), "listening");
        Ok(Self { child, input })
    }

    /// Ends its input; whether it then ended well.
    fn end(mut self) -> std::io::Result<bool> {
        drop(self.input.take());
        Ok(self.child.wait()?.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at(host: &Host, port: u16) -> SocketAddr {
    SocketAddr::new(host.ipv4().into(), port)
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Bytes that are not the same twice.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 31 + index / 257) as u8).collect()
}

/// Sends bytes to a server that gives them back, and checks that it does.
fn exchange(address: SocketAddr, count: usize) -> std::io::Result<()> {
    let (mut stream, sent) = (connect(address)?, bytes(count));
    let mut writer = stream.try_clone()?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.write_all(&sent));
        let mut got = vec![0; count];
        stream.read_exact(&mut got)?;
        assert!(got == sent, "other bytes came back");
        writing.join().expect("no panic")
    })
}

fn echo() -> Outcome {
    let program = compile("examples/echo_server.c", "echo-server", &[]);
    let pair = Pair::up(&PairConfig { queues: 2, ..PairConfig::default() })?;
    let mut command = pair.near().command(program);
    command.arg(pair.near().interface()).arg(PORT.to_string());
    let server = Program::start(command)?;
    let address = at(pair.near(), PORT);
    pair.far().enter(|| -> std::io::Result<()> {
        exchange(address, 4 << 20)?;
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..32).map(|client| scope.spawn(move || exchange(address, 1 + client * 999))).collect();
            clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
        })?;
        let other = TcpStream::connect_timeout(&SocketAddr::new(address.ip(), PORT + 1), PATIENCE);
        assert_eq!(other.err().map(|error| error.kind()), Some(std::io::ErrorKind::ConnectionRefused), "the kernel's");
        Ok(())
    })??;
    assert_eq!(pair.near().netstat()?.get("TcpPassiveOpens"), Some(&0), "the kernel served nobody");
    assert!(server.end()?, "the server ends with its input");
    // The kernel owns the port again.
    pair.near().enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))??;
    pair.far().enter(|| {
        let refused = TcpStream::connect_timeout(&address, PATIENCE).err().map(|error| error.kind());
        assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    })?;
    Ok(())
}

fn client() -> Outcome {
    let program = compile("tests/c/programs/client.c", "client", &[]);
    let pair = Pair::up(&PairConfig::default())?;
    let far = pair.far();
    let (v4, v6) = (at(far, PORT), SocketAddr::new(far.ipv6().into(), PORT));
    let listeners = far.enter(|| -> std::io::Result<_> { Ok([TcpListener::bind(v4)?, TcpListener::bind(v6)?]) })??;
    let echoes = listeners.map(|listener| {
        std::thread::spawn(move || -> std::io::Result<u64> {
            let (mut stream, _) = listener.accept()?;
            std::io::copy(&mut stream.try_clone()?, &mut stream)
        })
    });
    let mut command = pair.near().command(program);
    command.arg(pair.near().interface()).args([v4.ip().to_string(), v6.ip().to_string(), PORT.to_string()]);
    run(command);
    for echo in echoes {
        assert_eq!(echo.join().expect("no panic")?, 1 << 20);
    }
    Ok(())
}

fn mistakes() -> Outcome {
    let program = compile("examples/echo_server.c", "echo-mistaken", &[]);
    let pair = Pair::up(&PairConfig::default())?;
    let told = |interface: &str, port: u16| -> std::io::Result<String> {
        let mut command = pair.near().command(&program);
        let output = command.arg(interface).arg(port.to_string()).stdin(Stdio::null()).output()?;
        assert!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let missing = told("nothing0", PORT)?;
    assert!(missing.starts_with("nothing0: ") && missing.contains("no such"), "{missing}");
    // A port that a program on the kernel's TCP has.
    let _held = pair.near().enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))??;
    let held = told(pair.near().interface(), PORT)?;
    assert!(held.contains("Address already in use"), "{held}");
    Ok(())
}
