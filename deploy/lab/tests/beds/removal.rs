//! Whatever ends a lab, nothing of it stays.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use synward_lab::{Lab, LabConfig, LabError, Pair, PairConfig};

use crate::child::{self, Role};
use crate::{Outcome, Tests, check, until};

pub fn tests() -> Tests {
    vec![
        ("up_and_down_leave_nothing_behind", up_and_down),
        ("a_value_that_is_dropped_is_taken_down", dropped),
        ("processes_inside_end_with_the_lab", processes_inside),
        ("a_lab_of_a_killed_owner_is_swept", killed_owner),
        ("an_owner_killed_while_building_leaves_nothing_that_is_not_swept", killed_while_building),
        ("signals_take_the_lab_down", signals),
        ("a_signal_while_building_leaves_nothing_behind", signal_while_building),
        ("a_persistent_lab_stays_until_it_is_taken_down", persistent),
        ("a_lab_whose_owner_runs_is_not_taken_down_by_others", owned),
        ("a_build_that_fails_leaves_nothing_behind", failed_build),
        ("without_privileges_the_error_says_what_is_needed", unprivileged),
    ]
}

/// The names of namespaces, as `ip netns` would list them, that begin like this.
fn namespaces(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn is_recorded(id: &str) -> bool {
    Path::new("/run/synward/lab").join(format!("{id}.json")).exists()
}

fn nothing_is_left_of(id: &str) -> Outcome {
    let left = namespaces(&format!("synward-{id}-"));
    check(left.is_empty(), format!("namespaces left: {left:?}"))?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    check(!mounts.contains(&format!("synward-{id}-")), "a mount is left")?;
    check(!is_recorded(id), "the record is left")
}

/// The links of the namespace that the tests run in.
fn own_links() -> Result<Vec<String>, Failed> {
    let mut links: Vec<String> =
        fs::read_dir("/sys/class/net")?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    links.sort();
    Ok(links)
}

fn up_and_down() -> Outcome {
    let before = own_links()?;
    let lab = Lab::up(&LabConfig { clients: 2, attackers: 2, ..LabConfig::default() })?;
    let id = lab.id().to_owned();
    let mut built = namespaces(&format!("synward-{id}-"));
    built.sort();
    let nodes = ["attacker0", "attacker1", "client0", "client1", "front", "switch"];
    check(built == nodes.map(|node| format!("synward-{id}-{node}")), format!("built {built:?}"))?;
    check(is_recorded(&id), "not on record")?;
    check(own_links()? == before, "links appeared outside the lab")?;
    let front = lab.front().clone();
    lab.down()?;
    nothing_is_left_of(&id)?;
    // The open descriptor keeps the namespace of this host; its interface must be gone all the same.
    check(front.stats().is_err_and(|error| error.errno() == Some(libc::ENODEV)), "a link is left in a held namespace")?;
    check(own_links()? == before, "links moved out of the lab")
}

fn dropped() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let namespace = pair.near().namespace().to_owned();
    check(namespaces(&namespace).len() == 1, "no namespace")?;
    drop(pair);
    check(namespaces(&namespace).is_empty(), "the namespace is left")
}

fn processes_inside() -> Outcome {
    let pair = Pair::up(&PairConfig::default())?;
    let mut inside = pair.near().command("sleep").arg("1000").spawn()?;
    let mut outside = std::process::Command::new("sleep").arg("1000").spawn()?;
    pair.down()?;
    let killed = inside.try_wait()?.and_then(|status| status.signal());
    let untouched = outside.try_wait()?.is_none();
    inside.kill()?;
    inside.wait()?;
    outside.kill()?;
    outside.wait()?;
    check(killed == Some(libc::SIGKILL), format!("ended by {killed:?}"))?;
    check(untouched, "a process outside was killed")
}

fn killed_owner() -> Outcome {
    let mut owner = child::start(Role::Owner)?;
    let id = child::line_of(&mut owner)?;
    check(namespaces(&format!("synward-{id}-")).len() == 6, "not built")?;
    synward_lab::sweep()?;
    check(is_recorded(&id), "a lab in use was swept")?;
    owner.kill()?;
    owner.wait()?;
    check(namespaces(&format!("synward-{id}-")).len() == 6 || !is_recorded(&id), "who took it down?")?;
    synward_lab::sweep()?;
    nothing_is_left_of(&id)
}

/// Starts an owner and waits until so many of its six namespaces are there, from none to all. Returns the beginning of
/// their names too.
fn owner_at_stage(role: Role, stage: usize) -> Result<(Child, String), Failed> {
    let owner = child::start(role)?;
    let prefix = format!("synward-{}-", owner.id());
    let recorded = || synward_lab::list().is_ok_and(|beds| beds.iter().any(|bed| bed.owner.pid == owner.id()));
    until("the lab is that far", || recorded() && namespaces(&prefix).len() >= stage)?;
    Ok((owner, prefix))
}

fn nothing_is_left_of_owner(owner: &Child, prefix: &str, stage: usize) -> Outcome {
    let left = namespaces(prefix);
    check(left.is_empty(), format!("ended at {stage} namespaces: {left:?} left"))?;
    let records = synward_lab::list()?.into_iter().filter(|bed| bed.owner.pid == owner.id()).count();
    check(records == 0, format!("ended at {stage} namespaces: the record is left"))
}

fn killed_while_building() -> Outcome {
    for stage in 0..=6 {
        let (mut owner, prefix) = owner_at_stage(Role::Owner, stage)?;
        owner.kill()?;
        owner.wait()?;
        synward_lab::sweep()?;
        nothing_is_left_of_owner(&owner, &prefix, stage)?;
    }
    // A lab that was to be persistent is swept like any other as long as it is not whole.
    let (mut founder, prefix) = owner_at_stage(Role::Founder, 1)?;
    founder.kill()?;
    founder.wait()?;
    synward_lab::sweep()?;
    nothing_is_left_of_owner(&founder, &prefix, 1)
}

fn signal_while_building() -> Outcome {
    for stage in 0..=6 {
        let (mut owner, prefix) = owner_at_stage(Role::TidyOwner, stage)?;
        kill_process(pid_of(&owner)?, Signal::TERM)?;
        owner.wait()?;
        nothing_is_left_of_owner(&owner, &prefix, stage)?;
    }
    Ok(())
}

fn pid_of(child: &Child) -> Result<Pid, Failed> {
    Ok(i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?)
}

fn signals() -> Outcome {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut owner = child::start(Role::TidyOwner)?;
        let id = child::line_of(&mut owner)?;
        kill_process(pid_of(&owner)?, signal)?;
        let status = owner.wait()?;
        check(status.signal() == Some(signal.as_raw()), format!("{signal:?} ended it with {status}"))?;
        nothing_is_left_of(&id)?;
    }
    Ok(())
}

fn persistent() -> Outcome {
    let mut founder = child::start(Role::Founder)?;
    let id = child::line_of(&mut founder)?;
    check(founder.wait()?.success(), "the founder failed")?;
    synward_lab::sweep()?;
    let stays = namespaces(&format!("synward-{id}-")).len() == 6;
    let listed = synward_lab::list()?.into_iter().any(|bed| bed.id == id && bed.persistent && !bed.owner.is_alive());
    synward_lab::take_down(&id)?;
    check(stays, "it was swept")?;
    check(listed, "it was not listed")?;
    nothing_is_left_of(&id)?;
    let again = synward_lab::take_down(&id);
    check(matches!(again, Err(LabError::UnknownLab(_))), format!("taken down twice: {again:?}"))
}

fn owned() -> Outcome {
    let lab = Lab::up(&LabConfig::default())?;
    match synward_lab::take_down(lab.id()) {
        Err(LabError::Owned { pid, .. }) if pid == std::process::id() => {}
        outcome => return Err(format!("{outcome:?}").into()),
    }
    lab.front().stats()?;
    Ok(())
}

fn failed_build() -> Outcome {
    // 68 bytes is the least MTU for IPv4; IPv6 has no addresses below 1,280.
    let error =
        Pair::up(&PairConfig { mtu: 1_000, ..PairConfig::default() }).err().ok_or("IPv6 below its least MTU")?;
    let text = error.to_string();
    let namespace =
        text.split_whitespace().find_map(|word| word.strip_prefix("synward-")).ok_or("no name in the error")?;
    let id = namespace.trim_end_matches(':').rsplit_once('-').map(|(id, _)| id).ok_or("no id in the error")?;
    check(text.contains("fd77::1/64"), text.clone())?;
    nothing_is_left_of(id)
}

fn unprivileged() -> Outcome {
    let mut nobody = child::start(Role::Nobody)?;
    let error = child::line_of(&mut nobody)?;
    nobody.wait()?;
    check(error.contains("CAP_NET_ADMIN and CAP_SYS_ADMIN") && error.contains("sudo"), error)
}
