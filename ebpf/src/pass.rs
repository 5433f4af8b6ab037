//! The program that passes everything.

use aya::programs::Xdp;
use aya::{Ebpf, include_bytes_aligned};

use crate::attach::attach;
use crate::{Attached, EbpfError, XdpMode};

/// An XDP program that passes every frame, attached natively.
///
/// For the far ends of veth pairs: an end receives frames sent by XDP or AF_XDP at full speed only if it runs a native
/// program itself. Dropping this detaches it.
#[derive(Debug)]
pub struct PassProgram {
    attached: Attached,
}

impl PassProgram {
    /// Loads the program and attaches it to the interface called `interface`, in the network namespace of this thread.
    ///
    /// # Errors
    /// Any of loading and attaching; [`EbpfError::NativeRefused`] if the driver does not take it.
    pub fn attach(interface: &str) -> Result<Self, EbpfError> {
        let mut object =
            Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pass.bpf.o"))).map_err(EbpfError::load)?;
        let program = object.program_mut("pass").ok_or(EbpfError::Missing("program `pass`"))?;
        let program: &mut Xdp = program.try_into().map_err(EbpfError::program)?;
        program.load().map_err(EbpfError::program)?;
        Ok(Self { attached: attach(program, interface, XdpMode::Native)? })
    }

    /// How and where it is attached.
    pub fn attached(&self) -> &Attached {
        &self.attached
    }
}
