//! How much memory the control group of this process may have (cgroups(7)), of either version.

use std::fs;
use std::path::{Path, PathBuf};

/// The least limit of this process's group and of those above it; `None` when there is none, or no group can be seen.
pub(super) fn memory_limit() -> Option<u64> {
    let (mounts, groups) =
        (fs::read_to_string("/proc/self/mountinfo").ok()?, fs::read_to_string("/proc/self/cgroup").ok()?);
    mounts.lines().filter_map(|line| Hierarchy::of_mount(line)?.limit(&groups)).min()
}

/// A mounted tree of groups that limits memory.
#[derive(PartialEq, Eq, Debug)]
struct Hierarchy {
    /// The group that is mounted, as seen from the root of all.
    root: PathBuf,
    /// Where.
    point: PathBuf,
    /// What `/proc/self/cgroup` calls the tree: the controller, or nothing in version 2.
    controller: &'static str,
    /// The file of a group that has its limit.
    file: &'static str,
}

impl Hierarchy {
    /// Reads a line of `/proc/self/mountinfo`; `None` unless it is a tree that limits memory.
    fn of_mount(line: &str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?.into(), fields.next()?.into());
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        match name {
            "cgroup2" => Some(Self { root, point, controller: "", file: "memory.max" }),
            "cgroup" if options.split(',').any(|option| option == "memory") => {
                Some(Self { root, point, controller: "memory", file: "memory.limit_in_bytes" })
            }
            _ => None,
        }
    }

    /// The least limit from our group up to the one that is mounted.
    fn limit(&self, groups: &str) -> Option<u64> {
        let group = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == self.controller).then(|| Path::new(path))
        })?;
        // A group outside of what is mounted cannot be seen; those that can be bind it all the same.
        let below = group.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let chain = below.ancestors().map(|group| self.point.join(group).join(self.file));
        chain.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::Hierarchy;
    use std::fs;

    #[test]
    fn trees_that_limit_memory_are_told_from_others() {
        let v1 = "33 26 0:29 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory";
        let v2 = "27 24 0:24 /a /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let of = |line| Hierarchy::of_mount(line).map(|tree| (tree.root, tree.point, tree.controller, tree.file));
        let memory = ("/".into(), "/sys/fs/cgroup/memory".into(), "memory", "memory.limit_in_bytes");
        assert_eq!(of(v1), Some(memory));
        assert_eq!(of(v2), Some(("/a".into(), "/sys/fs/cgroup".into(), "", "memory.max")));
        for other in
            ["32 26 0:28 / /c rw - cgroup cgroup rw,cpu,cpuacct", "24 1 8:1 / / rw - ext4 /dev/sda1 rw", "", "- "]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn the_least_limit_up_to_the_mounted_group_counts() {
        let folder = std::env::temp_dir().join(format!("synward-cgroup-{}", std::process::id()));
        fs::create_dir_all(folder.join("outer/inner")).expect("folders");
        let write = |path: &str, text: &str| fs::write(folder.join(path).join("memory.max"), text).expect("a file");
        let tree =
            |root: &str| Hierarchy { root: root.into(), point: folder.clone(), controller: "", file: "memory.max" };
        let groups = "4:memory:/elsewhere\n0::/outer/inner\n";
        assert_eq!(tree("/").limit(groups), None, "nobody limits");
        write("outer/inner", "max\n");
        write("outer", "300\n");
        assert_eq!(tree("/").limit(groups), Some(300));
        write("outer/inner", "200\n");
        assert_eq!(tree("/").limit(groups), Some(200));
        write("", "100\n");
        assert_eq!(tree("/").limit(groups), Some(100));
        assert_eq!(tree("/other").limit(groups), Some(100), "only what is mounted can be seen");
        assert_eq!(tree("/").limit("4:memory:/elsewhere\n"), None, "not of this tree");
        fs::remove_dir_all(folder).expect("it is ours");
    }
}
