//! What is measured.

pub mod clients;
pub mod scaling;
pub mod share;
pub mod work;

use crate::Scope;
use crate::bed::Bed;
use crate::system::{Contender, Server, System};
use anyhow::Result;
use clap::ValueEnum;
use synward_bench::flood::SynForm;
use synward_bench::report::Report;

/// A kind of measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Row {
    /// Nanoseconds of work for one answer.
    WorkNs,
    /// The share of the front's core that a flood takes.
    CoreShare,
    /// How honest clients fare.
    Clients,
    /// What many prefixes and flows add to the work of the shield.
    Scaling,
}

impl Row {
    pub const ALL: [Self; 4] = [Self::WorkNs, Self::Scaling, Self::CoreShare, Self::Clients];

    /// Whether this can be measured of a contender, and says something. What HAProxy adds, it adds behind the kernel's handshake; and
    /// a table is full before the work for one entry could be measured (`make accept` measures it on a port in memory). What serves
    /// beside a control makes no difference to what it drops.
    pub fn takes(self, contender: Contender) -> bool {
        let is_second_control = contender.server == Some(Server::Engine);
        match self {
            Self::WorkNs => !matches!(contender.system, System::Haproxy | System::Table) && !is_second_control,
            Self::CoreShare => contender.system != System::Haproxy && !is_second_control,
            Self::Clients => contender.system.serves(),
            Self::Scaling => contender.system == System::Shield,
        }
    }

    pub fn measure(self, bed: &mut Bed, contender: Contender, scope: Scope, report: &mut Report) -> Result<()> {
        match self {
            Self::WorkNs => work::measure(bed, contender, scope, report),
            Self::CoreShare => share::measure(bed, contender, scope, report),
            Self::Clients => clients::measure(bed, contender, scope, report),
            Self::Scaling => scaling::measure(bed, contender, scope, report),
        }
    }
}

/// The SYNs to flood with: as real clients send them, and, where there is time for it, the shortest.
fn forms(scope: Scope) -> &'static [SynForm] {
    if scope.quick { &[SynForm::Client] } else { &[SynForm::Client, SynForm::Bare] }
}
