//! The parts of a BPF object, by name.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{Map, MapError};
use aya::programs::Xdp;

pub(crate) fn program<'o>(object: &'o mut Ebpf, name: &str) -> Result<&'o mut Xdp> {
    let program = object.program_mut(name).with_context(|| format!("the object has no program `{name}`"))?;
    Ok(program.try_into()?)
}

pub(crate) fn take_map<M: TryFrom<Map, Error = MapError>>(object: &mut Ebpf, name: &str) -> Result<M> {
    let map = object.take_map(name).with_context(|| format!("the object has no map `{name}`"))?;
    Ok(M::try_from(map)?)
}
