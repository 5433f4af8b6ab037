//! `[[interface]]`

use crate::config::addresses::{source_address, source_ports};
use crate::config::forms::{Form, Hint, integer, integer_or, switch, word};
use crate::config::report::Span;
use crate::config::section::Section;
use crate::config::settings::{InterfaceConfig, Queues};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use synward_ebpf::XdpMode;
use synward_nic::ModeDemand;
use toml::Spanned;

/// Linux makes no device with more (`rtnl_create_link`).
const QUEUES: RangeInclusive<u16> = 1..=4096;
/// Cores that `cpu_set_t` has room for.
const CORES: RangeInclusive<usize> = 0..=libc::CPU_SETSIZE as usize - 1;
/// Bytes of an interface's name, without the NUL.
const LONGEST_NAME: usize = libc::IFNAMSIZ - 1;
/// Below Linux's own range for outgoing connections (`net.ipv4.ip_local_port_range`, 32768-60999), so that neither takes
/// ports from the other.
const DEFAULT_SOURCE_PORTS: RangeInclusive<u16> = 16_384..=32_767;

const FRAMES: [(&str, ModeDemand); 3] =
    [("any", ModeDemand::Any), ("zero-copy", ModeDemand::ZeroCopy), ("copy", ModeDemand::Copy)];
const XDP: [(&str, XdpMode); 3] = [("any", XdpMode::Any), ("native", XdpMode::Native), ("generic", XdpMode::Generic)];

/// An interface as it was read.
pub(in crate::config) struct InterfaceDraft {
    pub(in crate::config) label: String,
    /// Empty where it was missing or wrong.
    pub(in crate::config) name: Spanned<String>,
    pub(in crate::config) queues: Queues,
    pub(in crate::config) cores: Vec<Spanned<usize>>,
    pub(in crate::config) source_addresses: Vec<Spanned<IpAddr>>,
    /// Contains no port where it was wrong.
    pub(in crate::config) source_ports: RangeInclusive<u16>,
    frames: ModeDemand,
    xdp: XdpMode,
    busy_poll: bool,
    pub(in crate::config) queues_at: Span,
}

pub(super) fn read(mut section: Section<'_>) -> InterfaceDraft {
    let header = section.span().clone();
    let name = section.required("name", &interface_name());
    let queues = section.optional("queues", &integer_or(QUEUES, Queues::Exactly, ("all", || Queues::All)));
    let draft = InterfaceDraft {
        label: section.label().to_owned(),
        name: name.unwrap_or_else(|| Spanned::new(header, String::new())),
        queues_at: section.place_of(&["queues", "cores"]),
        queues: queues.map_or(Queues::All, Spanned::into_inner),
        cores: section.list("cores", &integer(CORES)),
        frames: section.or("frames", &word(&FRAMES), ModeDemand::Any),
        xdp: section.or("xdp", &word(&XDP), XdpMode::Any),
        busy_poll: section.or("busy_poll", &switch(), false),
        source_addresses: section.list("source_addresses", &source_address()),
        source_ports: source_range(&mut section),
    };
    one_core_for_each_queue(&section, &draft);
    section.finish();
    draft
}

impl InterfaceDraft {
    pub(in crate::config) fn settle(self) -> InterfaceConfig {
        InterfaceConfig {
            name: self.name.into_inner(),
            queues: self.queues,
            cores: self.cores.into_iter().map(Spanned::into_inner).collect(),
            frames: self.frames,
            xdp: self.xdp,
            busy_poll: self.busy_poll,
            source_addresses: self.source_addresses.into_iter().map(Spanned::into_inner).collect(),
            source_ports: self.source_ports,
        }
    }
}

fn source_range(section: &mut Section<'_>) -> RangeInclusive<u16> {
    let nothing = RangeInclusive::new(1, 0);
    let absent = section.ask("source_ports").is_none();
    section.or("source_ports", &source_ports(), if absent { DEFAULT_SOURCE_PORTS } else { nothing })
}

/// What the kernel takes as a name (`dev_valid_name`).
fn interface_name() -> Form<String> {
    Form::of_text(
        format!("the name of an interface, 1 to {LONGEST_NAME} bytes without blanks, \"/\" and \":\""),
        |text| {
            if text.len() > LONGEST_NAME {
                return Err(format!("it has {} bytes", text.len()));
            }
            let wrong = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '\0');
            let fits = !matches!(text, "" | "." | "..") && !text.contains(wrong);
            fits.then(|| text.to_owned()).ok_or_else(Hint::new)
        },
    )
}

fn one_core_for_each_queue(section: &Section<'_>, draft: &InterfaceDraft) {
    let cores = draft.cores.len();
    if let Queues::Exactly(queues) = draft.queues
        && cores != 0
        && cores != usize::from(queues)
    {
        let text = format!("cores must be one core for each of the {queues} queues, not {cores}");
        section.note(&section.place_of(&["cores"]), &text);
    }
}
