//! `synward lab`: a test bed that stays, for tools of one's own.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::fmt::Write;
use synward_lab::plan::{BridgePlan, HostPlan};
use synward_lab::{End, FrontWiring, Lab, LabConfig, Offloads, Record};

/// What to do with test beds.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Build a test bed that stays, and show its namespaces and addresses.
    Up(Up),
    /// Remove a test bed, with everything that runs in it.
    Down(Down),
    /// Show the test beds that are up.
    List(List),
}

/// How to build a test bed.
#[derive(Debug, Args)]
pub struct Up {
    /// How many clients.
    #[arg(long, default_value_t = 1)]
    clients: u16,
    /// How many attackers.
    #[arg(long, default_value_t = 1)]
    attackers: u16,
    /// How many backends.
    #[arg(long, default_value_t = 0)]
    backends: u16,
    /// How the front is joined to the others.
    #[arg(long, value_enum, default_value_t = Wiring::One)]
    wiring: Wiring,
    /// How many queues each interface of the front has.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    queues: u16,
    /// Let the kernels ask for hardware addresses (ARP, NDP) instead of telling them for good.
    #[arg(long)]
    no_permanent_neighbours: bool,
    /// Let all but the front finish their checksums instead of leaving them to the (virtual) hardware.
    #[arg(long)]
    no_checksum_offload: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// How the front is joined to the others.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wiring {
    /// One interface and one subnet for all.
    One,
    /// An interface and a subnet each for clients (front0), attackers (front1) and backends (front2).
    PerRole,
}

impl From<Wiring> for FrontWiring {
    fn from(wiring: Wiring) -> Self {
        match wiring {
            Wiring::One => Self::One,
            Wiring::PerRole => Self::PerRole,
        }
    }
}

/// Which test bed to remove.
#[derive(Debug, Args)]
pub struct Down {
    /// Its id; may be left out if only one is up.
    #[arg(conflicts_with = "all")]
    id: Option<String>,
    /// All that stay by themselves, and what killed processes left behind.
    #[arg(long)]
    all: bool,
}

/// How to show the test beds.
#[derive(Debug, Args)]
pub struct List {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Does it.
///
/// # Errors
/// When the test bed cannot be built or removed; the message says what to do.
pub fn run(command: LabCommand) -> Result<()> {
    match command {
        LabCommand::Up(up) => up.run(),
        LabCommand::Down(down) => down.run(),
        LabCommand::List(list) => list.run(),
    }
}

impl Up {
    fn config(&self) -> LabConfig {
        let offloads = Offloads { tx_checksum: !self.no_checksum_offload, ..Offloads::default() };
        let usual = LabConfig::default();
        LabConfig {
            clients: self.clients,
            attackers: self.attackers,
            backends: self.backends,
            wiring: self.wiring.into(),
            permanent_neighbours: !self.no_permanent_neighbours,
            queues: self.queues,
            far: End { offloads, ..usual.far },
            persistent: true,
            ..usual
        }
    }

    fn run(self) -> Result<()> {
        let lab = Lab::up(&self.config()).context("building the lab")?;
        let bed = Bed::from(lab.record());
        if self.json {
            println!("{}", serde_json::to_string_pretty(&bed)?);
        } else {
            print!("{}{}", bed.table(), bed.hints());
        }
        Ok(())
    }
}

impl Down {
    fn run(self) -> Result<()> {
        let ids = match self {
            Self { all: true, .. } => {
                for id in synward_lab::sweep()? {
                    println!("lab {id}, left behind by a killed process, is removed");
                }
                staying()?
            }
            Self { id: Some(id), .. } => vec![id],
            Self { id: None, .. } => vec![the_only_one(staying()?)?],
        };
        for id in ids {
            synward_lab::take_down(&id)?;
            println!("lab {id} is removed");
        }
        Ok(())
    }
}

/// The test beds that stay until somebody removes them.
fn staying() -> Result<Vec<String>> {
    Ok(synward_lab::list()?.into_iter().filter(|record| record.persistent).map(|record| record.id).collect())
}

fn the_only_one(ids: Vec<String>) -> Result<String> {
    match ids.as_slice() {
        [] => bail!("no lab is up"),
        [id] => Ok(id.clone()),
        several => bail!("several labs are up, say which: {}", several.join(", ")),
    }
}

impl List {
    fn run(self) -> Result<()> {
        let beds: Vec<Bed> = synward_lab::list()?.iter().map(Bed::from).collect();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&beds)?);
        } else if beds.is_empty() {
            println!("no lab is up");
        } else {
            print!("{}", beds.iter().map(Bed::table).collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }
}

/// A test bed as it is shown.
#[derive(Debug, Serialize)]
struct Bed {
    id: String,
    /// Whether it stays until `synward lab down`.
    persistent: bool,
    /// The process that built it, and removes it at its end unless it is persistent.
    owner: u32,
    hosts: Vec<ShownHost>,
    switch: Option<ShownSwitch>,
    /// Prefixes that attackers may forge source addresses from; the front answers them by way of the first attacker.
    spoofed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownHost {
    name: String,
    namespace: String,
    interfaces: Vec<ShownInterface>,
}

#[derive(Debug, Serialize)]
struct ShownInterface {
    name: String,
    ipv4: String,
    ipv6: String,
    mac: String,
}

#[derive(Debug, Serialize)]
struct ShownSwitch {
    namespace: String,
    bridges: Vec<ShownBridge>,
}

#[derive(Debug, Serialize)]
struct ShownBridge {
    name: String,
    ports: Vec<String>,
}

impl From<&Record> for Bed {
    fn from(record: &Record) -> Self {
        let bridge = |bridge: &BridgePlan| ShownBridge {
            name: bridge.name.clone(),
            ports: bridge.ports.iter().map(|port| port.link.name.clone()).collect(),
        };
        let switch = record.plan.switch.as_ref().map(|switch| ShownSwitch {
            namespace: record.namespace_of(&switch.name),
            bridges: switch.bridges.iter().map(bridge).collect(),
        });
        Self {
            id: record.id.clone(),
            persistent: record.persistent,
            owner: record.owner.pid,
            hosts: record.plan.hosts.iter().map(|host| ShownHost::of(record, host)).collect(),
            switch,
            spoofed: record.plan.spoofed.iter().map(ToString::to_string).collect(),
        }
    }
}

impl ShownHost {
    fn of(record: &Record, host: &HostPlan) -> Self {
        let interfaces = host.interfaces.iter().map(|interface| ShownInterface {
            name: interface.link.name.clone(),
            ipv4: interface.ipv4.to_string(),
            ipv6: interface.ipv6.to_string(),
            mac: interface.link.mac.to_string(),
        });
        Self { name: host.name.clone(), namespace: record.namespace_of(&host.name), interfaces: interfaces.collect() }
    }

    fn is_called(&self, role: &str) -> bool {
        self.name.starts_with(role)
    }
}

impl Bed {
    /// One line for each interface.
    fn table(&self) -> String {
        let state = if self.persistent { "stays".to_owned() } else { format!("belongs to process {}", self.owner) };
        let mut text = format!("lab {}, {state}\n\n", self.id);
        let width = self.hosts.iter().map(|host| host.namespace.len()).max().unwrap_or(0);
        let mut line = |namespace: &str, [interface, ipv4, ipv6, mac]: [&str; 4]| {
            let row = format!("  {namespace:<width$}  {interface:<12}  {ipv4:<15}  {ipv6:<12}  {mac}");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", row.trim_end());
        };
        line("NAMESPACE", ["INTERFACE", "IPV4", "IPV6", "MAC"]);
        for host in &self.hosts {
            for ShownInterface { name, ipv4, ipv6, mac } in &host.interfaces {
                line(&host.namespace, [name, ipv4, ipv6, mac]);
            }
        }
        if let Some(switch) = &self.switch {
            for bridge in &switch.bridges {
                line(&switch.namespace, [&bridge.name, "", "", ""]);
            }
        }
        text
    }

    /// What one might do next.
    fn hints(&self) -> String {
        let mut text = String::new();
        if !self.spoofed.is_empty() && self.hosts.iter().any(|host| host.is_called("attacker")) {
            text += &format!("\nThe front answers the spoofed sources {}.\n", self.spoofed.join(" and "));
        }
        text += "\nTry:\n";
        let mut hint = |namespace: &str, command: &str| text += &format!("  ip netns exec {namespace} {command}\n");
        if let Some((front, interface)) = self.first("front") {
            hint(&front.namespace, &format!("synward serve --interface {}", interface.name));
            if let Some((client, _)) = self.first("client") {
                hint(&client.namespace, &format!("curl http://{}/", interface.ipv4));
                hint(&client.namespace, &format!("curl 'http://[{}]/'", interface.ipv6));
            }
        }
        text + &format!("  synward lab down {}\n", self.id)
    }

    fn first(&self, role: &str) -> Option<(&ShownHost, &ShownInterface)> {
        let host = self.hosts.iter().find(|host| host.is_called(role))?;
        Some((host, host.interfaces.first()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use synward_lab::Owner;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: LabCommand,
    }

    fn up(arguments: &[&str]) -> LabConfig {
        let line = Line::try_parse_from([&["lab", "up"], arguments].concat()).expect("arguments");
        match line.command {
            LabCommand::Up(up) => up.config(),
            other => panic!("{other:?}"),
        }
    }

    fn bed(config: &LabConfig) -> Bed {
        let owner = Owner { pid: 12, start_time: 3456, boot_id: String::new() };
        let plan = config.plan().expect("a small lab");
        Bed::from(&Record { id: "12-abcd".into(), persistent: config.persistent, owner, plan })
    }

    #[test]
    fn arguments_become_the_configuration() {
        assert_eq!(up(&[]), LabConfig { persistent: true, ..LabConfig::default() });
        let config = up(&["--clients", "3", "--attackers", "0", "--queues", "4", "--no-checksum-offload"]);
        assert_eq!((config.clients, config.attackers, config.queues), (3, 0, 4));
        assert!(!config.far.offloads.tx_checksum && config.front.offloads.tx_checksum);
        let config = up(&["--backends", "2", "--wiring", "per-role", "--no-permanent-neighbours"]);
        assert_eq!((config.backends, config.wiring), (2, FrontWiring::PerRole));
        assert!(!config.permanent_neighbours);
        assert!(Line::try_parse_from(["lab", "up", "--queues", "0"]).is_err());
        assert!(Line::try_parse_from(["lab", "up", "--wiring", "two"]).is_err());
        assert!(Line::try_parse_from(["lab", "down", "12-abcd", "--all"]).is_err(), "one or all");
    }

    #[test]
    fn a_bed_is_shown_with_everything_one_needs_to_drive_it() {
        let bed = bed(&up(&[]));
        let wanted = "\
lab 12-abcd, stays

  NAMESPACE                  INTERFACE     IPV4             IPV6          MAC
  synward-12-abcd-front      front0        10.77.0.1        fd77::1       02:53:59:01:00:00
  synward-12-abcd-client0    client0       10.77.64.1       fd77::1:1     02:53:59:02:00:00
  synward-12-abcd-attacker0  attacker0     10.77.128.1      fd77::2:1     02:53:59:03:00:00
  synward-12-abcd-switch     bridge

The front answers the spoofed sources 10.128.0.0/9 and fd77:0:0:bad::/64.

Try:
  ip netns exec synward-12-abcd-front synward serve --interface front0
  ip netns exec synward-12-abcd-client0 curl http://10.77.0.1/
  ip netns exec synward-12-abcd-client0 curl 'http://[fd77::1]/'
  synward lab down 12-abcd
";
        assert_eq!(bed.table() + &bed.hints(), wanted);
    }

    #[test]
    fn every_interface_of_a_front_with_several_is_shown() {
        let wanted = "\
lab 12-abcd, stays

  NAMESPACE                  INTERFACE     IPV4             IPV6          MAC
  synward-12-abcd-front      front0        10.77.0.1        fd77::1       02:53:59:01:00:00
  synward-12-abcd-front      front1        10.77.191.254    fd77::2:fffe  02:53:59:01:00:01
  synward-12-abcd-front      front2        10.77.255.254    fd77::3:fffe  02:53:59:01:00:02
  synward-12-abcd-client0    client0       10.77.64.1       fd77::1:1     02:53:59:02:00:00
  synward-12-abcd-attacker0  attacker0     10.77.128.1      fd77::2:1     02:53:59:03:00:00
  synward-12-abcd-backend0   backend0      10.77.192.1      fd77::3:1     02:53:59:05:00:00
  synward-12-abcd-switch     clients
  synward-12-abcd-switch     attackers
  synward-12-abcd-switch     backends
";
        assert_eq!(bed(&up(&["--backends", "1", "--wiring", "per-role"])).table(), wanted);
    }

    #[test]
    fn nothing_is_said_about_attackers_that_are_not_there() {
        let hints = bed(&up(&["--attackers", "0", "--clients", "0"])).hints();
        assert!(!hints.contains("spoofed") && !hints.contains("curl"), "{hints}");
    }

    #[test]
    fn without_an_id_only_one_lab_can_be_meant() {
        assert_eq!(the_only_one(vec!["1-a".into()]).expect("one"), "1-a");
        assert!(the_only_one(Vec::new()).is_err());
        let error = the_only_one(vec!["1-a".into(), "2-b".into()]).expect_err("two");
        assert!(error.to_string().contains("1-a, 2-b"), "{error}");
    }
}
