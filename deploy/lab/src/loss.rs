//! Loss at random, by nftables on the receiver's ingress.
//!
//! Not on the sender's egress: TCP sees a local drop for what it is and retries at once.

use std::io::{self, Write};
use std::process::{Output, Stdio};

use crate::LabError;
use crate::namespace::Namespace;

/// `numgen` draws from this many numbers: a thousandth of a percent is the least loss.
const DRAWS: u32 = 100_000;

/// Loses this share of what arrives at each of these interfaces; 0 loses nothing.
pub(crate) fn set(namespace: &Namespace, interfaces: &[&str], percent: f64) -> Result<(), LabError> {
    let script = script(interfaces, percent)?;
    let failed = |complaint: String| LabError::Tool {
        command: format!("ip netns exec {} nft -f - <<< '{script}'", namespace.name()),
        complaint,
    };
    let output = run_nft(namespace, &script).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => failed("nft is not installed: apt-get install nftables".into()),
        _ => failed(source.to_string()),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
}

fn run_nft(namespace: &Namespace, script: &str) -> io::Result<Output> {
    let mut command = namespace.command("nft");
    let piped = command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = piped.spawn()?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    nft.wait_with_output()
}

/// One chain for each interface, emptied and filled anew, so that setting replaces what was set before.
fn script(interfaces: &[&str], percent: f64) -> Result<String, LabError> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(LabError::Config(format!("a loss of {percent} % is not between 0 and 100")));
    }
    // In range: at most DRAWS.
    let lost = (percent / 100.0 * f64::from(DRAWS)).round() as u32;
    let mut script = String::from("add table netdev synward_loss\n");
    for interface in interfaces {
        script += &format!(
            "add chain netdev synward_loss {interface} {{ type filter hook ingress device \"{interface}\" priority 0; }}\n\
             flush chain netdev synward_loss {interface}\n"
        );
        let condition = match lost {
            0 => continue,
            // `nft` refuses a comparison that always holds.
            DRAWS.. => String::new(),
            _ => format!("numgen random mod {DRAWS} < {lost} "),
        };
        script += &format!("add rule netdev synward_loss {interface} {condition}counter drop\n");
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_in_thousandths_of_a_percent() {
        for (percent, lost) in [(1.0, "< 1000 "), (0.001, "< 1 "), (2.5, "< 2500 "), (100.0, "to-front0 counter drop")]
        {
            let script = script(&["to-front0"], percent).expect("in range");
            assert!(script.contains(lost), "{percent}: {script}");
        }
        assert!(!script(&["to-front0"], 0.0).expect("in range").contains("drop"));
    }

    #[test]
    fn a_share_is_between_nothing_and_everything() {
        for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(script(&["to-front0"], percent).is_err(), "{percent}");
        }
    }
}
