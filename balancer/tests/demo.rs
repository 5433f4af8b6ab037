//! `synward demo` as a shell sees it. Needs root, but for the test that does without; where it is missing, tests are reported as
//! ignored, by name.

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

type Test = (&'static str, fn() -> Result<()>);

const TESTS: &[Test] = &[
    ("one_json_document_tells_everything", document),
    ("a_signal_ends_it_and_nothing_is_left_behind", interrupted),
    ("without_root_it_says_what_to_do_before_it_builds_anything", without_root),
];

fn main() {
    let skipped = !synward_lab::root_available();
    let trial = |(name, test): &Test| {
        let test = *test;
        Trial::test(*name, move || test().map_err(|error| format!("{error:#}").into())).with_ignored_flag(skipped)
    };
    libtest_mimic::run(&Arguments::from_args(), TESTS.iter().map(trial).collect()).exit();
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synward"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn document() -> Result<()> {
    let output = demo(&["--json", "--seconds", "1"]).output()?;
    let progress = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {progress}", output.status);
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let number =
        |path: &str| document.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path}: {document}"));
    for phase in ["/synward/calm", "/synward/flood", "/kernel/calm", "/kernel/flood"] {
        let of_phase = |name: &str| number(&format!("{phase}/{name}"));
        let (requests, ok) = (of_phase("requests")?, of_phase("ok")?);
        ensure!(requests > 0.0 && ok > 0.0 && ok <= requests, "{phase}: {ok} of {requests}");
        ensure!(of_phase("p50_ms")? > 0.0 && of_phase("p50_ms")? <= of_phase("p99_ms")?, "{phase}: {document}");
        let is_flood = phase.ends_with("/flood");
        ensure!(of_phase("syn_offered_per_s").is_ok() == is_flood, "{phase}: {document}");
        if is_flood {
            ensure!(of_phase("syn_offered_per_s")? > 0.0 && of_phase("syn_answered")? > 0.0, "{phase}: {document}");
            ensure!(of_phase("half_open_highest")? > 0.0, "{phase}: {document}");
        }
    }
    for object in ["drops", "kernel_drops", "modes"] {
        ensure!(document[object].is_object(), "no {object}: {document}");
    }
    for mode in ["frames", "xdp", "syncookies", "kernel", "backends", "cores", "linux"] {
        ensure!(document["modes"][mode].as_str().is_some_and(|text| !text.is_empty()), "mode {mode}: {document}");
    }
    Ok(())
}

fn interrupted() -> Result<()> {
    let mut child = demo(&["--seconds", "600"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let outcome = interrupt(&mut child);
    // Where that failed, the rest of the tests shall not suffer from it. Ended already is as good.
    let _ = child.kill();
    outcome?;
    let own = synward_lab::list()?.into_iter().filter(|record| record.owner.pid == pid).count();
    ensure!(own == 0, "a lab is left");
    for folder in ["/run/netns".as_ref(), std::env::temp_dir().as_path()] {
        let left = entries_of(folder, pid)?;
        ensure!(left.is_empty(), "left in {}: {left:?}", folder.display());
    }
    Ok(())
}

/// Waits until clients come, then presses Ctrl-C.
fn interrupt(child: &mut Child) -> Result<()> {
    let mut progress = BufReader::new(child.stderr.take().context("its progress")?);
    let mut line = String::new();
    while !line.contains("calm") {
        line.clear();
        ensure!(progress.read_line(&mut line)? > 0, "it ended too early: {}", child.wait()?);
    }
    ensure!(!entries_of("/run/netns".as_ref(), child.id())?.is_empty(), "there is nothing to put away");
    kill_process(Pid::from_child(child), Signal::INT)?;
    let mut rest = String::new();
    progress.read_to_string(&mut rest)?;
    let status = child.wait()?;
    ensure!(status.signal() == Some(Signal::INT.as_raw()), "{status}: {rest}");
    Ok(())
}

/// What is named after a lab of this process: `synward-<pid>-…`.
fn entries_of(folder: &Path, pid: u32) -> Result<Vec<String>> {
    let prefix = format!("synward-{pid}-");
    let names = std::fs::read_dir(folder)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.contains(&prefix)).collect())
}

fn without_root() -> Result<()> {
    let program = env!("CARGO_BIN_EXE_synward");
    let output = Command::new("setpriv").args(["--inh-caps=-all", "--bounding-set=-all", program, "demo"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}: {said}", output.status);
    ensure!(said.lines().count() == 1 && said.contains("takes root") && said.contains("sudo"), "{said}");
    Ok(())
}
