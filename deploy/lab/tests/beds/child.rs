//! This test program as the owner of a lab, in a process of its own that can be killed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::{env, io, process, thread};

use libtest_mimic::Failed;
use synward_lab::{Lab, LabConfig, Pair, PairConfig};

/// Says what to be.
const ROLE: &str = "SYNWARD_LAB_TEST_ROLE";

/// What the child does.
#[derive(Clone, Copy)]
pub enum Role {
    /// Builds a lab, prints its id, and stays.
    Owner,
    /// The same, and takes the lab down on signals.
    TidyOwner,
    /// Builds a persistent lab, prints its id, and ends.
    Founder,
    /// Tries to build a pair as an ordinary user, and prints the error.
    Nobody,
}

const ROLES: [(&str, Role); 4] =
    [("owner", Role::Owner), ("tidy-owner", Role::TidyOwner), ("founder", Role::Founder), ("nobody", Role::Nobody)];

/// `nobody` of every distribution.
const NOBODY: u32 = 65534;

/// In a child, plays its role and never returns.
pub fn run_if_asked() {
    let Ok(asked) = env::var(ROLE) else { return };
    let role = ROLES.iter().find(|(name, _)| *name == asked).map(|(_, role)| *role);
    match role.expect("a role") {
        Role::Owner => hold(),
        Role::TidyOwner => {
            synward_lab::take_down_on_signals().expect("signals");
            hold();
        }
        Role::Founder => println!("{}", Lab::up(&LabConfig { persistent: true, ..config() }).expect("a lab").id()),
        Role::Nobody => println!("{}", Pair::up(&PairConfig::default()).expect_err("no pair without privileges")),
    }
    process::exit(0);
}

/// Large enough that there is time to be killed while it is built.
fn config() -> LabConfig {
    LabConfig { clients: 3, ..LabConfig::default() }
}

fn hold() {
    let lab = Lab::up(&config()).expect("a lab");
    println!("{}", lab.id());
    loop {
        thread::park();
    }
}

/// Starts a child.
pub fn start(role: Role) -> io::Result<Child> {
    let name = ROLES.iter().find(|(_, other)| *other as u8 == role as u8).map_or("", |(name, _)| name);
    let mut command = Command::new(env::current_exe()?);
    command.env(ROLE, name).stdout(Stdio::piped());
    if matches!(role, Role::Nobody) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.spawn()
}

/// The line that a child prints: the id of its lab, or the error.
pub fn line_of(child: &mut Child) -> Result<String, Failed> {
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
