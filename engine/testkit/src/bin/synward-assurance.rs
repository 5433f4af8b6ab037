//! `make assurance`: makes `docs/assurance.md` from what is to be vouched for and from how each check ended last.

use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use synward_testkit::assurance::{Page, Results, Run, TestLog, read_sections};

/// Takes in the reports in target/assurance and, where there is one, what a run of the tests printed; then writes the page.
#[derive(Debug, Parser)]
struct Options {
    /// What `cargo test --workspace` printed, both streams in one file.
    #[arg(long)]
    tests: Option<PathBuf>,
    /// The repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("assurance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False when a row's check never ran or saw what was not wanted.
fn run(options: &Options) -> Result<bool, String> {
    let folder = options.root.join("docs/assurance");
    let kept = folder.join("results.json");
    let sections = read_sections(&folder)?;
    let mut results = Results::read(&kept)?;
    let this = Run { date: said_by("date", &["+%F"])?, commit: said_by("git", &["rev-parse", "--short=9", "HEAD"])? };
    let reports = reports(&options.root.join("target/assurance"))?;
    for report in &reports {
        results.take_report(report, &this)?;
    }
    if let Some(path) = &options.tests {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        results.take_tests(&TestLog::parse(&String::from_utf8_lossy(&text)), &sections, &this);
    }
    results.write(&kept)?;
    for report in &reports {
        // A report is taken in once; left there, an old run would be given a new day.
        std::fs::remove_file(report).map_err(|error| format!("{}: {error}", report.display()))?;
    }
    let page = Page::new(&sections, &results);
    let path = options.root.join("docs/assurance.md");
    std::fs::write(&path, page.text()).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    let (unknown, failures) = (page.unknown_checks(), page.failures());
    unknown.iter().for_each(|check| println!("never run: {check}"));
    failures.iter().for_each(|failure| println!("not met: {}: {}", failure.check, failure.seen));
    Ok(unknown.is_empty() && failures.is_empty())
}

/// The reports that tools have left.
fn reports(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {}: {}", arguments.join(" "), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
