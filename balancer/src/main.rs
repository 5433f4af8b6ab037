//! The command line `synward`.

use clap::Parser;
use serde::Serialize;
use std::process::ExitCode;
use synward::cli::{Cli, Command, ListPrefix};
use synward::config::Mistakes;
use synward::control::{client, report, table};
use synward::lab;
use synward::proxy::ProxyReport;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Mistakes>() {
                Some(mistakes) => eprintln!("{mistakes}"),
                None => eprintln!("synward: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(run) => run.run(),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Lab(command) => lab::run(command),
        Command::Demo(demo) => demo.run(),
        Command::Ss { control, info, listening } => {
            let path = if listening { "/v1/ss?listening=true" } else { "/v1/ss" };
            let sockets: report::Sockets = client::get(&control.control, path)?;
            print(control.json, &sockets, |sockets| table::sockets(sockets, info))
        }
        Command::Stat { control, all } => {
            let stat: report::Stat = client::get(&control.control, "/v1/stat")?;
            print(control.json, &stat, |stat| table::stat(stat, all))
        }
        Command::Pools { control } => {
            let report: ProxyReport = client::get(&control.control, "/v1/pools")?;
            print(control.json, &report, table::pools)
        }
        Command::Shield { control, lists: false } => {
            let shield: report::ShieldReport = client::get(&control.control, "/v1/shield")?;
            print(control.json, &shield, table::shield)
        }
        Command::Shield { control, lists: true } => {
            let prefixes: Vec<report::ListedPrefix> = client::get(&control.control, "/v1/prefixes")?;
            print(control.json, &prefixes, |prefixes| table::prefixes(prefixes))
        }
        Command::Block(order) => list("/v1/block", &order),
        Command::Allow(order) => list("/v1/allow", &order),
        Command::Unblock { prefix, control } => {
            let order = report::PrefixOrder { prefix: prefix.to_string(), seconds: None };
            let change: report::PrefixChange = client::post(&control.control, "/v1/unblock", &order)?;
            print(control.json, &change, table::change)
        }
        Command::Drops { control } => {
            let drops: report::Drops = client::get(&control.control, "/v1/drops")?;
            print(control.json, &drops, table::drops)
        }
    }
}

fn list(path: &str, ListPrefix { prefix, time, control }: &ListPrefix) -> anyhow::Result<()> {
    let order = report::PrefixOrder { prefix: prefix.to_string(), seconds: time.map(|time| time.as_secs()) };
    let change: report::PrefixChange = client::post(&control.control, path, &order)?;
    print(control.json, &change, table::change)
}

fn print<T: Serialize>(json: bool, document: &T, text: impl Fn(&T) -> String) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(document)?);
    } else {
        print!("{}", text(document));
    }
    Ok(())
}
