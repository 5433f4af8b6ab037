//! Attaching a program to an interface, and saying truthfully how.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::programs::Xdp;
use tracing::{info, warn};

use crate::link::{create_xdp_link, update_xdp_link};
use crate::{EbpfError, Interface, XdpState};

/// `XDP_FLAGS_SKB_MODE` (linux/if_link.h).
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
/// `XDP_FLAGS_DRV_MODE` (linux/if_link.h).
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Where a program is wanted to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum XdpMode {
    /// In the driver, or in the kernel's generic hook if the driver refuses; which it became, and why, is in
    /// [`Attached`].
    #[default]
    Any,
    /// In the driver, or not at all.
    Native,
    /// In the kernel's generic hook, after the socket buffer has been made.
    Generic,
}

/// Where a program runs, as the kernel reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook.
    Generic,
    /// In the device. Programs of ours are never put there.
    Hardware,
}

impl AttachedMode {
    /// The word for it in `ip link set dev … <word> off`.
    pub(crate) const fn ip_switch(self) -> &'static str {
        match self {
            Self::Native => "xdpdrv",
            Self::Generic => "xdpgeneric",
            Self::Hardware => "xdpoffload",
        }
    }
}

impl fmt::Display for AttachedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Hardware => "hardware",
        })
    }
}

/// A program attached to an interface. Dropping it detaches the program, and so does the end of the process, however it
/// ends.
#[derive(Debug)]
pub struct Attached {
    link: OwnedFd,
    interface: Interface,
    in_force: XdpState,
    native_refused: Option<EbpfError>,
}

impl Attached {
    /// The interface, as it was just after attaching.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Where the program runs: read back from the kernel, not remembered from the request.
    pub fn mode(&self) -> AttachedMode {
        self.in_force.mode
    }

    /// The kernel's number of the program.
    pub fn program_id(&self) -> u32 {
        self.in_force.program_id
    }

    /// Under [`XdpMode::Any`], why the program does not run natively.
    pub fn native_refused(&self) -> Option<&EbpfError> {
        self.native_refused.as_ref()
    }

    /// Puts another program in the place of this one, which must be loaded: no frame meets both, and none meets neither.
    pub(crate) fn replace(&mut self, program: &Xdp) -> Result<(), EbpfError> {
        let descriptor = program.fd().map_err(EbpfError::program)?;
        let program_id = program.info().map_err(EbpfError::program)?.id();
        update_xdp_link(self.link.as_fd(), descriptor.as_fd())
            .map_err(|source| refusal(&self.interface, self.in_force.mode, source))?;
        self.in_force.program_id = program_id;
        info!(interface = self.interface.name, program = program_id, "XDP program replaced");
        Ok(())
    }

    /// Detaches the program; the same as dropping this.
    pub fn detach(self) {
        drop(self.link);
    }
}

/// Attaches `program`, which must be loaded, to the interface called `name`.
pub(crate) fn attach(program: &Xdp, name: &str, mode: XdpMode) -> Result<Attached, EbpfError> {
    let interface = Interface::by_name(name)?;
    refuse_foreign(&interface)?;
    let attached = match mode {
        XdpMode::Native => attach_as(program, &interface, AttachedMode::Native)?,
        XdpMode::Generic => attach_as(program, &interface, AttachedMode::Generic)?,
        XdpMode::Any => match attach_as(program, &interface, AttachedMode::Native) {
            Err(refused @ EbpfError::NativeRefused { .. }) => {
                warn!("{refused}; falling back to generic XDP");
                let generic = attach_as(program, &interface, AttachedMode::Generic)?;
                Attached { native_refused: Some(refused), ..generic }
            }
            native => native?,
        },
    };
    info!(interface = name, mode = %attached.mode(), program = attached.program_id(), "XDP program attached");
    Ok(attached)
}

fn refuse_foreign(interface: &Interface) -> Result<(), EbpfError> {
    let Some(foreign) = interface.xdp.first() else { return Ok(()) };
    let XdpState { mode, program_id } = *foreign;
    Err(EbpfError::ForeignProgram { interface: interface.name.clone(), program_id, mode })
}

fn attach_as(program: &Xdp, interface: &Interface, mode: AttachedMode) -> Result<Attached, EbpfError> {
    let flags = match mode {
        AttachedMode::Native => XDP_FLAGS_DRV_MODE,
        AttachedMode::Generic | AttachedMode::Hardware => XDP_FLAGS_SKB_MODE,
    };
    let descriptor = program.fd().map_err(EbpfError::program)?;
    let program_id = program.info().map_err(EbpfError::program)?.id();
    let link = create_xdp_link(descriptor.as_fd(), interface.index, flags)
        .map_err(|source| refusal(interface, mode, source))?;
    let interface = Interface::by_name(&interface.name)?;
    let in_force = XdpState { mode, program_id };
    if interface.xdp != [in_force] {
        let found = format!("{:?}", interface.xdp);
        return Err(EbpfError::NotInForce { interface: interface.name, program_id, wanted: mode, found });
    }
    Ok(Attached { link, interface, in_force, native_refused: None })
}

/// What the kernel meant by refusing the attachment.
fn refusal(interface: &Interface, mode: AttachedMode, source: io::Error) -> EbpfError {
    let name = interface.name.clone();
    match source.raw_os_error() {
        Some(libc::EPERM) => EbpfError::NotPermitted { doing: "attaching the XDP program" },
        Some(libc::ENODEV) => EbpfError::NoSuchInterface { interface: name },
        // Somebody attached between our look and our attempt.
        Some(libc::EBUSY | libc::EEXIST) => match Interface::by_name(&name).and_then(|now| refuse_foreign(&now)) {
            Err(foreign) => foreign,
            Ok(()) => EbpfError::AttachRefused { interface: name, source },
        },
        number if mode == AttachedMode::Native => {
            EbpfError::NativeRefused { interface: name, reason: native_reason(number), source }
        }
        _ => EbpfError::AttachRefused { interface: name, source },
    }
}

/// What drivers mean by their error numbers; the words are theirs, but they only reach a tracepoint.
fn native_reason(number: Option<i32>) -> &'static str {
    match number {
        Some(libc::EOPNOTSUPP) => "the driver has no native XDP, or an offload (LRO, GRO_HW) is in its way",
        Some(libc::ERANGE) => "the MTU (on veth, the peer's) is too large for a frame in one page; lower it to 3,500",
        Some(libc::EINVAL) => {
            "the driver does not take the program in its present settings (often the MTU is too large)"
        }
        Some(libc::ENOSPC) => "veth needs at least as many receive queues here as its peer has transmit queues",
        Some(libc::ENOTCONN) => "the veth has no peer",
        Some(libc::ENOMEM) => "the driver lacks rings or memory for XDP",
        _ => "the driver refused",
    }
}
