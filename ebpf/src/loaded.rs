//! What of BPF the kernel holds: to see that nothing outlives the process that made it.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// The kernel's numbers of BPF objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loaded {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
    /// Links.
    pub links: BTreeSet<u32>,
}

impl Loaded {
    /// All that there are on this machine now, in all network namespaces. An object that goes while it is asked for is left out.
    pub fn now() -> Self {
        Self {
            programs: aya::programs::loaded_programs().flatten().map(|program| program.id()).collect(),
            maps: aya::maps::loaded_maps().flatten().map(|map| map.id()).collect(),
            links: aya::programs::loaded_links().flatten().map(|link| link.id()).collect(),
        }
    }

    /// Those that a process has descriptors of (`/proc/PID/fdinfo`, proc_pid_fdinfo(5)).
    ///
    /// # Errors
    /// It has ended, or is somebody else's.
    pub fn of_process(id: u32) -> io::Result<Self> {
        let mut held = Self::default();
        for descriptor in fs::read_dir(format!("/proc/{id}/fdinfo"))?.flatten() {
            // One that was closed meanwhile holds nothing.
            held.read(&fs::read_to_string(descriptor.path()).unwrap_or_default());
        }
        Ok(held)
    }

    /// The objects that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self {
            programs: &self.programs & &other.programs,
            maps: &self.maps & &other.maps,
            links: &self.links & &other.links,
        }
    }

    /// Takes what one descriptor says. That of a program or of a link also names what hangs on it.
    fn read(&mut self, info: &str) {
        for line in info.lines() {
            let Some((name, number)) = line.split_once(':') else { continue };
            let numbers = match name {
                "prog_id" => &mut self.programs,
                "map_id" => &mut self.maps,
                "link_id" => &mut self.links,
                _ => continue,
            };
            numbers.extend(number.trim().parse::<u32>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Loaded;

    #[test]
    fn a_descriptor_names_its_object() {
        let mut held = Loaded::default();
        held.read("pos:\t0\nflags:\t02000002\nmap_type:\t2\nmap_id:\t17\n");
        held.read("link_type:\txdp\nlink_id:\t3\nprog_tag:\t0123456789abcdef\nprog_id:\t9\nifindex:\t2\n");
        held.read("pos:\t0\nprog_id:\tnone\nnonsense\n");
        let wanted = Loaded { programs: [9].into(), maps: [17].into(), links: [3].into() };
        assert_eq!(held, wanted);
        let other = Loaded { programs: [9, 10].into(), maps: [18].into(), links: [].into() };
        assert_eq!(held.common(&other), Loaded { programs: [9].into(), ..Loaded::default() });
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Loaded::of_process(0).is_err());
    }
}
