//! Plays every script of `tests/conversations` against the engine and against the Linux kernel.
//!
//! Each script is played over IPv4 and IPv6, but where it says that it is for one of them: `engine4::…`, `engine6::…`.
//! `engine…` must pass; `broken…` plays each script once for every demand that it makes, with that demand turned
//! into its opposite, and must see each of them fail at its line; `kernel…` plays it in a network namespace of its own.
//! Without root the kernel's are ignored, and so are, without `SYNWARD_LONG=1`, those that need more than ten seconds.
//! Frames of a failed conversation are left in `target/conversations`.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use synward_testkit::play::Failure;
use synward_testkit::script::{Ip, KernelRun, Script, ScriptError, TargetKind};
use synward_testkit::{engine, kernel};

/// What `make test` gives a script for the kernel.
const SHORT: Duration = Duration::from_secs(10);

/// Trials at once, where the command line does not say.
const THREADS: usize = 16;

fn main() {
    let mut arguments = Arguments::from_args();
    // The kernel's trials wait most of their time.
    arguments.test_threads.get_or_insert(THREADS);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut paths = Vec::new();
    find(&folder, &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    let trials = paths.iter().flat_map(|path| trials(&folder, path)).collect();
    libtest_mimic::run(&arguments, trials).exit();
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

fn trials(folder: &Path, path: &Path) -> Vec<Trial> {
    let name = path.strip_prefix(folder).unwrap_or(path).with_extension("").to_string_lossy().replace('/', "::");
    let script = match Script::read(path) {
        Ok(script) => script,
        Err(error) => return vec![Trial::test(format!("engine::{name}"), move || unreadable(&error))],
    };
    let ignored = match &script.setup.kernel {
        KernelRun::For(time) => !kernel::available() || (*time > SHORT && std::env::var_os("SYNWARD_LONG").is_none()),
        KernelRun::Skip(_) | KernelRun::Unsaid => true,
    };
    let in_family = |ip: &Ip| {
        let script = Arc::new(script.over(*ip));
        let trial = |kind: &str, run: fn(&Script, &str) -> Result<(), Failed>| {
            let (full, name, script) = (format!("{kind}{}::{name}", ip.number()), name.clone(), Arc::clone(&script));
            Trial::test(full, move || run(&script, &name))
        };
        [trial("engine", on_engine), trial("broken", broken), trial("kernel", on_kernel).with_ignored_flag(ignored)]
    };
    script.families().iter().flat_map(in_family).collect()
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
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("conversations");
    let path = folder.join(format!("{}{}-{}.pcap", failure.target, ip.number(), name.replace("::", "-")));
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
