//! A lab with a front end, web servers behind it and clients before it.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use synward::control::report::{Drops, ShieldReport, Stat};
use synward::proxy::ProxyReport;
use synward::served::Served;
use synward_bench::flood::{Attack, Flood, FloodConfig, Running, SynForm};
use synward_bench::peers::Web;
use synward_lab::plan::Prefix;
use synward_lab::{FrontWiring, Host, Lab, LabConfig, Role, SPOOFED_V4};

pub const HTTP: u16 = 80;
/// Where the web servers listen.
pub const WEB: u16 = 8080;
/// For what must happen, but at no particular time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A front end that ends before its lab does.
pub struct Bed {
    pub front: Served,
    pub webs: Vec<Web>,
    pub lab: Lab,
}

/// How a bed is made.
#[derive(Clone)]
pub struct Plan {
    pub lab: LabConfig,
    /// Lines for `[engine]`.
    pub engine: &'static str,
    /// Lines for every `[[interface]]`.
    pub interface: &'static str,
    /// Lines for the `[[listener]]`.
    pub listener: &'static str,
    /// Lines for the `[[pool]]`.
    pub pool: &'static str,
    /// Lines for `[shield]`.
    pub shield: &'static str,
    /// Lines for `[shutdown]`, and whole sections behind it.
    pub shutdown: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        let lab = LabConfig { backends: 2, attackers: 0, ..LabConfig::default() };
        Self { lab, engine: "", interface: "", listener: "", pool: "", shield: "", shutdown: "" }
    }
}

impl Plan {
    /// A lab with an attacker, and a listener with this line.
    pub fn attacked(listener: &'static str) -> Self {
        let lab = LabConfig { backends: 2, attackers: 1, ..LabConfig::default() };
        Self { lab, listener, ..Self::default() }
    }

    /// Clients on one interface of the front and backends on another, so that every connection crosses shards.
    pub fn two_interfaces() -> Self {
        let usual = Self::default();
        Self { lab: LabConfig { wiring: FrontWiring::PerRole, ..usual.lab }, ..usual }
    }

    /// The configuration of the front of `lab`.
    pub fn config(&self, lab: &Lab) -> String {
        let front = lab.front_towards(Role::Client);
        let mut text = format!("[engine]\n{}\n", self.engine);
        let mut names: Vec<_> = [Role::Client, Role::Backend].map(|role| lab.front_towards(role).name()).to_vec();
        names.dedup();
        for name in names {
            let _ = writeln!(text, "[[interface]]\nname = {name:?}\n{}", self.interface);
        }
        let (v4, v6) = (front.ipv4(), front.ipv6());
        let _ = writeln!(
            text,
            "[[listener]]\nname = \"web\"\naddresses = [\"{v4}:{HTTP}\", \"[{v6}]:{HTTP}\"]\npool = \"web\"\n{}",
            self.listener
        );
        let _ = writeln!(text, "[[pool]]\nname = \"web\"\n{}", self.pool);
        for backend in lab.backends() {
            let _ =
                writeln!(text, "[[pool.backend]]\nname = {:?}\naddress = \"{}:{WEB}\"", backend.name(), backend.ipv4());
        }
        let _ = writeln!(text, "[shield]\n{}\n[shutdown]\n{}", self.shield, self.shutdown);
        text
    }

    /// Builds the lab and starts everything in it.
    pub fn up(&self) -> Result<Bed> {
        let lab = Lab::up(&self.lab)?;
        let webs = lab.backends().iter().map(|host| Web::start(host, WEB, &[])).collect::<Result<_>>()?;
        let front = Served::front(program(), lab.front(), &self.config(&lab))?;
        Ok(Bed { front, webs, lab })
    }
}

/// The program under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_synward"))
}

impl Bed {
    pub fn client(&self) -> &Host {
        &self.lab.clients()[0]
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.lab.front_towards(Role::Client).ipv4().into(), HTTP)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A curl in the client's namespace.
    pub fn curl(&self) -> Command {
        let mut command = self.client().command("curl");
        command.args(["--silent", "--show-error", "--fail", "--max-time", "120"]).stdin(Stdio::null());
        command
    }

    /// What curl prints for a path.
    pub fn get(&self, path: &str) -> Result<String> {
        let output = self.curl().arg(self.url(path)).output()?;
        ensure!(
            output.status.success(),
            "curl {path}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.front.log()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn stat(&self) -> Result<Stat> {
        self.front.ask("/v1/stat")
    }

    pub fn pools(&self) -> Result<ProxyReport> {
        self.front.ask("/v1/pools")
    }

    pub fn shield(&self) -> Result<ShieldReport> {
        self.front.ask("/v1/shield")
    }

    /// Frames with this verdict of the XDP programs.
    pub fn verdict(&self, name: &str) -> Result<u64> {
        self.shield()?.verdicts.get(name).map(|rate| rate.total).with_context(|| format!("no verdict {name}"))
    }

    /// Starts a flood of forged segments from an attacker, for as long as the value lives.
    pub fn flood(&self, attack: Attack, rate: u64) -> Result<Running> {
        self.flood_from(SPOOFED_V4, attack, rate)
    }

    /// The same, with sources of one prefix.
    pub fn flood_from(&self, sources: Prefix, attack: Attack, rate: u64) -> Result<Running> {
        let (attacker, front) = (&self.lab.attackers()[0], self.lab.front_towards(Role::Attacker));
        let config = FloodConfig {
            rate,
            attack,
            form: SynForm::Client,
            sources,
            duration: 4 * PATIENCE,
            ..FloodConfig::new(attacker.interface(), front.mac(), self.address())
        };
        attacker.enter(|| Flood::start(&config))?
    }

    /// Runs the program under test as a command for the front; gives what it printed, or what it complained of.
    pub fn command(&self, arguments: &[&str]) -> Result<Result<String, String>> {
        let output = Command::new(program()).args(arguments).arg("--control").arg(self.front.control()).output()?;
        let printed = if output.status.success() { Ok(output.stdout) } else { Err(output.stderr) };
        Ok(match printed {
            Ok(answer) => Ok(String::from_utf8(answer)?),
            Err(complaint) => Err(String::from_utf8(complaint)?),
        })
    }

    pub fn gauge(&self, name: &str) -> Result<u64> {
        self.stat()?.gauges.get(name).copied().with_context(|| format!("no gauge {name}"))
    }

    /// Waits for what must happen, asking again and again.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds()? {
            if Instant::now() > deadline {
                bail!("{what} never came true\n{}\n{:?}", self.front.log(), self.stat()?.gauges);
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Nothing is left of any connection but TIME-WAIT, all frames are home, and every frame became one thing.
    pub fn check_drained(&self) -> Result<()> {
        self.eventually("a front without connections", || {
            let drops: Drops = self.front.ask("/v1/drops")?;
            let left = self.gauge("connections")? + self.gauge("spliced")? + self.gauge("half_open")?;
            let lent = drops.frames.get("lent").copied().unwrap_or_default();
            let missing = drops.frames.get("missing").copied().unwrap_or_default();
            Ok(left == 0 && lent == 0 && missing == 0)
        })?;
        let drops: Drops = self.front.ask("/v1/drops")?;
        let sum = drops.outcomes.values().sum::<u64>() + drops.drops.values().sum::<u64>();
        ensure!(sum == drops.received, "{sum} outcomes of {} frames: {drops:?}", drops.received);
        Ok(())
    }
}
