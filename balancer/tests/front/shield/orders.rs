//! `synward shield`, `block`, `allow` and `unblock`, and metrics.

use crate::bed::{Bed, Plan};
use anyhow::{Context, Result, ensure};
use std::net::TcpStream;
use std::time::Duration;
use synward::control::report::{ListedPrefix, ShieldReport};

/// How long a client waits that is to get no answer.
const NO_ANSWER: Duration = Duration::from_millis(1500);

fn gets_in(bed: &Bed) -> Result<bool> {
    Ok(bed.client().enter(|| TcpStream::connect_timeout(&bed.address(), NO_ANSWER))?.is_ok())
}

/// What a command prints that must succeed.
fn done(bed: &Bed, arguments: &[&str]) -> Result<String> {
    bed.command(arguments)?.map_err(|complaint| anyhow::anyhow!("{arguments:?}: {complaint}"))
}

pub fn block_and_allow() -> Result<()> {
    let bed = Plan::attacked("shield = \"auto\"").up()?;
    let client = bed.client().ipv4().to_string();
    ensure!(gets_in(&bed)?);
    let said = done(&bed, &["block", &client, "--for", "10m"])?;
    ensure!(said == format!("{client}/32 is blocked for 10m\n"), "{said}");
    ensure!(!gets_in(&bed)?, "a blocked client got in");
    ensure!(bed.verdict("dropped_blocked")? > 0);
    let said = done(&bed, &["allow", &client])?;
    ensure!(said == format!("{client}/32 is allowed until the server ends; it was blocked\n"), "{said}");
    ensure!(gets_in(&bed)?, "an allowed client did not get in");
    let listed: Vec<ListedPrefix> = serde_json::from_str(&done(&bed, &["shield", "--lists", "--json"])?)?;
    let [listed] = &listed[..] else { anyhow::bail!("{listed:?}") };
    ensure!(listed.verdict == "allow" && listed.by == "command" && listed.expires_seconds.is_none(), "{listed:?}");
    let said = done(&bed, &["unblock", &client])?;
    ensure!(said == format!("{client}/32 is no longer allowed\n"), "{said}");
    ensure!(gets_in(&bed)?);
    let report: ShieldReport = serde_json::from_str(&done(&bed, &["shield", "--json"])?)?;
    ensure!(report.lists.dropped == 0 && report.lists.allowed == 0 && report.lists.limit > 0, "{report:?}");
    let text = done(&bed, &["shield"])?;
    ensure!(text.contains("web") && text.contains("dropped_blocked") && text.contains("auto"), "{text}");
    Ok(())
}

pub fn expiry() -> Result<()> {
    let bed = Plan::attacked("shield = \"auto\"").up()?;
    let client = bed.client().ipv4().to_string();
    done(&bed, &["block", &client, "--for", "2s"])?;
    bed.eventually("a client that gets in again", || gets_in(&bed))?;
    bed.eventually("an empty list", || Ok(bed.shield()?.lists.dropped == 0))
}

pub fn refused() -> Result<()> {
    let bed = Plan::attacked("shield = \"auto\"").up()?;
    let backend = &bed.lab.backends()[0];
    let (name, address) = (backend.name(), backend.ipv4());
    for (arguments, why) in [
        (&["unblock", "192.0.2.1"][..], "192.0.2.1/32 is in no list; `synward shield --lists` shows what is"),
        (&["block", "0.0.0.0/0"], &*format!("backend web/{name} at {address} would be dropped")),
        (&["block", "10.0.0.1/8"], "write 10.0.0.0/8 for the network"),
        (&["block", "192.0.2.1", "--for", "10"], "the unit is missing"),
        (&["allow", "everybody"], "is no prefix"),
    ] {
        let complaint = bed.command(arguments)?.err().with_context(|| format!("{arguments:?} was followed"))?;
        ensure!(complaint.contains(why), "{arguments:?}: {complaint}");
    }
    ensure!(bed.shield()?.lists.dropped == 0);
    ensure!(bed.get("/")?.starts_with("backend"));
    Ok(())
}

pub fn metrics() -> Result<()> {
    let plan = Plan { shutdown: "[metrics]\naddress = \"127.0.0.1:9090\"", ..Plan::attacked("shield = \"always\"") };
    let bed = plan.up()?;
    bed.get("/")?;
    let scrape = || -> Result<String> {
        let url = "http://127.0.0.1:9090/metrics";
        let output = bed.lab.front().command("curl").args(["--silent", "--show-error", "--fail", url]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let address = bed.address();
    let wanted = [
        "synward_listener_accepted_total{listener=\"web\"} 1".to_owned(),
        format!("synward_shield_up{{listener=\"web\",address=\"{address}\"}} 1"),
        format!("synward_listener_cookies_valid_total{{listener=\"web\",address=\"{address}\"}} 1"),
        "synward_tcp_events_total{event=\"SyncookiesRecv\"} 1".to_owned(),
        "synward_xdp_frames_total{verdict=\"answered_cookie\"} 1".to_owned(),
    ];
    let text = scrape()?;
    for line in wanted {
        ensure!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
    ensure!(text.ends_with("# EOF\n"));
    Ok(())
}
