//! Loss at random, by nftables on the receiver's ingress.
//!
//! Not on the sender's egress: TCP sees a local drop for what it is and retries at once.

use std::io::{self, Write};
use std::process::{Output, Stdio};

use crate::LabError;
use crate::namespace::Namespace;
use crate::role::Role;

/// `numgen` draws from this many numbers: a thousandth of a percent is the least loss.
const DRAWS: u32 = 100_000;

/// A place where packets are lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut<'a> {
    interface: &'a str,
    /// Only packets to the hosts of this role.
    to: Option<Role>,
}

impl<'a> Cut<'a> {
    /// Everything that arrives at the interface.
    pub(crate) fn all(interface: &'a str) -> Self {
        Self { interface, to: None }
    }

    /// What arrives at the interface for the hosts of a role.
    pub(crate) fn to(role: Role, interface: &'a str) -> Self {
        Self { interface, to: Some(role) }
    }

    /// The name of its chain: cuts that are set separately share none.
    fn chain(self) -> String {
        match self.to {
            Some(role) => format!("{}-to-{}", self.interface, role.name()),
            None => self.interface.to_owned(),
        }
    }

    fn condition(self) -> String {
        let Some(role) = self.to else { return String::new() };
        let (base, mask) = role.macs();
        format!("ether daddr & {mask} == {base} ")
    }
}

/// Loses this share of what passes each of these cuts; 0 loses nothing.
pub(crate) fn set(namespace: &Namespace, cuts: &[Cut<'_>], percent: f64) -> Result<(), LabError> {
    let script = script(cuts, percent)?;
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

/// One chain for each cut, emptied and filled anew, so that setting replaces what was set before.
fn script(cuts: &[Cut<'_>], percent: f64) -> Result<String, LabError> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(LabError::Config(format!("a loss of {percent} % is not between 0 and 100")));
    }
    // In range: at most DRAWS.
    let lost = (percent / 100.0 * f64::from(DRAWS)).round() as u32;
    let mut script = String::from("add table netdev synward_loss\n");
    for cut in cuts {
        let (chain, interface) = (cut.chain(), cut.interface);
        script += &format!(
            "add chain netdev synward_loss {chain} {{ type filter hook ingress device \"{interface}\" priority 0; }}\n\
             flush chain netdev synward_loss {chain}\n"
        );
        let drawn = match lost {
            0 => continue,
            // `nft` refuses a comparison that always holds.
            DRAWS.. => String::new(),
            _ => format!("numgen random mod {DRAWS} < {lost} "),
        };
        script += &format!("add rule netdev synward_loss {chain} {}{drawn}counter drop\n", cut.condition());
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
            let script = script(&[Cut::all("to-front0")], percent).expect("in range");
            assert!(script.contains(lost), "{percent}: {script}");
        }
        assert!(!script(&[Cut::all("to-front0")], 0.0).expect("in range").contains("drop"));
    }

    #[test]
    fn the_cuts_of_one_role_leave_those_of_another_alone() {
        let [clients, backends] =
            [Role::Client, Role::Backend].map(|role| script(&[Cut::to(role, "to-front0")], 1.0).expect("in range"));
        assert!(clients.contains("flush chain netdev synward_loss to-front0-to-client\n"), "{clients}");
        assert!(clients.contains("ether daddr & ff:ff:ff:ff:00:00 == 02:53:59:02:00:00 numgen"), "{clients}");
        assert!(backends.contains("flush chain netdev synward_loss to-front0-to-backend\n"), "{backends}");
        assert!(!backends.contains("client"), "{backends}");
    }

    #[test]
    fn a_share_is_between_nothing_and_everything() {
        for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(script(&[Cut::all("to-front0")], percent).is_err(), "{percent}");
        }
    }
}
