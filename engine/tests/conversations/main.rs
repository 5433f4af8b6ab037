//! Plays every script of this folder against the engine and against the Linux kernel, and tells what that proved.
//!
//! Each script is played over IPv4 and IPv6, but where it says that it is for one of them: `engine4::…`, `engine6::…`.
//! `engine…` must pass; `broken…` plays each script once for every demand that it makes, with that demand turned
//! into its opposite, and must see each of them fail at its line; `kernel…` plays it in a network namespace of its own.
//! Without root the kernel's are ignored, and so are, without `SYNWARD_LONG=1`, those that need more than ten seconds.
//! Frames of a failed conversation are left in `target/conversations`, and beside them, after a run of everything, `index.md`:
//! each requirement and what proved it. A requirement that nothing proved fails the run.

mod index;
mod laws;
mod requirements;

use index::{Index, Proof, Record};
use libtest_mimic::{Arguments, Failed, Trial};
use requirements::Requirements;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use synward_testkit::play::Failure;
use synward_testkit::script::{Ip, KernelRun, Script, ScriptError, TargetKind};
use synward_testkit::{engine, kernel};

/// What `make test` gives a script for the kernel.
const SHORT: Duration = Duration::from_secs(10);

/// Trials at once, where the command line does not say.
const THREADS: usize = 16;

/// This folder, from the repository's root.
const FOLDER: &str = "engine/tests/conversations";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The kernel's trials wait most of their time.
    arguments.test_threads.get_or_insert(THREADS);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut plan = Plan::default();
    plan.scripts(&folder);
    plan.laws();
    let Plan { trials, proofs, record } = plan;
    let conclusion = libtest_mimic::run(&arguments, trials);
    let is_whole = conclusion.num_filtered_out == 0 && !arguments.list && kernel::available();
    let told = Requirements::read(&folder).and_then(|rows| tell(&Index::new(&rows, &proofs, &record), is_whole));
    if let Err(error) = &told {
        eprintln!("{error}");
    }
    if told.is_err() || conclusion.has_failed() { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// Writes the index of a run of everything.
///
/// # Errors
/// Claims that are wrong, whatever ran; after a run of everything what is left unproved.
fn tell(index: &Index<'_>, is_whole: bool) -> Result<(), String> {
    let wrong = index.wrong_claims();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    if !is_whole {
        return Ok(());
    }
    let path = output().join("index.md");
    index.write(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("what was proved: {}", path.display());
    report(index)?;
    let holes: Vec<String> = index.holes().iter().map(|row| format!("  {}: {}", row.id, row.text)).collect();
    if holes.is_empty() { Ok(()) } else { Err(format!("nothing has proved:\n{}", holes.join("\n"))) }
}

/// Leaves what was shown where `make assurance` takes it in.
fn report(index: &Index<'_>) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("assurance");
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&folder)?;
        let outcomes = index.outcomes();
        let lines: Vec<_> = outcomes.iter().map(ToString::to_string).collect();
        std::fs::write(folder.join("conversations.json"), format!("[\n{}\n]\n", lines.join(",\n")))
    };
    write().map_err(|error| format!("{}: {error}", folder.display()))
}

/// Where failures and the index are left.
fn output() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("conversations")
}

/// Everything that a run consists of.
#[derive(Default)]
struct Plan {
    trials: Vec<Trial>,
    proofs: Vec<Proof>,
    record: Record,
}

impl Plan {
    /// Adds a trial whose end is noted.
    fn trial(&mut self, name: String, run: impl FnOnce() -> Result<(), Failed> + Send + 'static, ignored: bool) {
        let (record, noted) = (self.record.clone(), name.clone());
        let trial = Trial::test(name, move || {
            record.note(&noted, false);
            let outcome = run();
            record.note(&noted, outcome.is_ok());
            outcome
        });
        self.trials.push(trial.with_ignored_flag(ignored));
    }

    fn laws(&mut self) {
        for law in laws::LAWS {
            let name = format!("law::{}", law.name);
            self.proofs.push(Proof {
                name: law.name.replace('_', " "),
                path: format!("{FOLDER}/laws.rs"),
                proves: law.proves.iter().map(|&id| id.to_owned()).collect(),
                trials: vec![name.clone()],
                kernel: Vec::new(),
                without_kernel: None,
            });
            let ignored = law.needs_root && !kernel::available();
            self.trial(name, move || (law.check)().map_err(Failed::from), ignored);
        }
    }

    fn scripts(&mut self, folder: &Path) {
        let mut paths = Vec::new();
        find(folder, &mut paths);
        paths.sort();
        assert!(!paths.is_empty(), "no scripts in {}", folder.display());
        for path in paths {
            let name = path.strip_prefix(folder).unwrap_or(&path).with_extension("").to_string_lossy().into_owned();
            match Script::read(&path) {
                Ok(script) => self.script(&script, &name),
                Err(error) => self.trial(format!("engine::{}", trial_name(&name)), move || unreadable(&error), false),
            }
        }
    }

    fn script(&mut self, script: &Script, name: &str) {
        let (is_skipped, without_kernel) = kernel_run(script);
        let mut proof = Proof {
            name: name.to_owned(),
            path: format!("{FOLDER}/{name}.talk"),
            proves: script.setup.proves.clone(),
            trials: Vec::new(),
            kernel: Vec::new(),
            without_kernel,
        };
        for &ip in script.families() {
            let script = Arc::new(script.over(ip));
            let mut add = |kind: &str, run: fn(&Script, &str) -> Result<(), Failed>, ignored| {
                let (script, name) = (Arc::clone(&script), trial_name(name));
                let full = format!("{kind}{}::{name}", ip.number());
                self.trial(full.clone(), move || run(&script, &name), ignored);
                full
            };
            proof.trials.extend([add("engine", on_engine, false), add("broken", broken, false)]);
            proof.kernel.push(add("kernel", on_kernel, is_skipped));
        }
        self.proofs.push(proof);
    }
}

/// Whether the script's trials on the kernel are left out of this run, and why there are none at all.
fn kernel_run(script: &Script) -> (bool, Option<String>) {
    match &script.setup.kernel {
        KernelRun::For(time) => {
            (!kernel::available() || (*time > SHORT && std::env::var_os("SYNWARD_LONG").is_none()), None)
        }
        KernelRun::Skip(reason) => (true, Some(reason.clone())),
        KernelRun::Unsaid => (true, None),
    }
}

fn trial_name(name: &str) -> String {
    name.replace('/', "::")
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "talk") {
            paths.push(path);
        }
    }
}

fn unreadable(error: &ScriptError) -> Result<(), Failed> {
    Err(error.into())
}

fn on_engine(script: &Script, name: &str) -> Result<(), Failed> {
    engine::play(script)?.map_err(|failure| saved(*failure, script.setup.ip, name))
}

fn on_kernel(script: &Script, name: &str) -> Result<(), Failed> {
    kernel::play(script)?.map_err(|failure| saved(*failure, script.setup.ip, name))
}

fn saved(mut failure: Failure, ip: Ip, name: &str) -> Failed {
    let path = output().join(format!("{}{}-{}.pcap", failure.target, ip.number(), name.replace("::", "-")));
    match failure.save(&path) {
        Ok(()) => failure.to_string().into(),
        Err(error) => format!("{failure}\n  {}: {error}", path.display()).into(),
    }
}

/// Each demand of the script, turned into its opposite, must be seen to fail.
fn broken(script: &Script, _name: &str) -> Result<(), Failed> {
    let mut count = 0;
    for (line, script) in script.broken(TargetKind::Engine) {
        count += 1;
        match engine::play(&script)? {
            Err(failure) if failure.line == line => {}
            Err(failure) => {
                return Err(format!("the demand of line {line} is broken, and this failed:\n{failure}").into());
            }
            Ok(()) => return Err(format!("the demand of line {line} can be broken unnoticed").into()),
        }
    }
    if count == 0 { Err("the script demands nothing".into()) } else { Ok(()) }
}
