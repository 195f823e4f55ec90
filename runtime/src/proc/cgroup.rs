//! The memory that a container leaves to its processes: limits of control groups, version 2 and version 1.

use std::path::{Path, PathBuf};

use super::file::read;

/// The files of a version of control groups.
struct Version {
    /// Where its groups lie as folders.
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` that counts copies of files, which make room where it is needed.
    files: &'static str,
}

const V1: Version = Version {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    files: "total_cache ",
};

const V2: Version =
    Version { root: "/sys/fs/cgroup", limit: "memory.max", usage: "memory.current", files: "file " };

/// Bytes that the groups of this process leave to it, those of the tightest one; `None` where none has a limit.
pub(super) fn available() -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let folders = groups.lines().filter_map(group).flat_map(|(version, path)| {
        let above = Path::new(path).ancestors().map(Path::to_path_buf).collect::<Vec<PathBuf>>();
        above.into_iter().map(move |path| (version, path))
    });
    folders.filter_map(|(version, path)| version.left(&path)).min()
}

/// The group that a line of `/proc/self/cgroup` names, if it is one that limits memory.
fn group(line: &str) -> Option<(&'static Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    match controllers {
        "" => Some((&V2, path)),
        _ => controllers.split(',').any(|name| name == "memory").then_some((&V1, path)),
    }
}

impl Version {
    /// What a group leaves; `None` where it has no limit, or the system does not say.
    fn left(&self, path: &Path) -> Option<u64> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let file = |name: &str| read(Path::new(self.root).join(inside).join(name).to_str()?);
        self.left_by(&file(self.limit)?, &file(self.usage)?, &file("memory.stat").unwrap_or_default())
    }

    fn left_by(&self, limit: &str, usage: &str, stat: &str) -> Option<u64> {
        let limit: u64 = limit.trim().parse().ok()?;
        let usage: u64 = usage.trim().parse().ok()?;
        let files = stat.lines().find_map(|line| line.strip_prefix(self.files)?.trim().parse().ok());
        Some(limit.saturating_sub(usage.saturating_sub(files.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_as_room() {
        let stat = "anon 700\nfile 200\nfile_mapped 50\n";
        assert_eq!(V2.left_by("1000\n", "900\n", stat), Some(300));
        assert_eq!(V2.left_by("1000\n", "900\n", ""), Some(100));
        assert_eq!(V2.left_by("1000\n", "1100\n", "file 0\n"), Some(0));
        assert_eq!(V1.left_by("1000\n", "900\n", "cache 1\ntotal_cache 400\n"), Some(500));
    }

    #[test]
    fn groups_without_a_limit_say_nothing() {
        assert_eq!(V2.left_by("max\n", "900\n", "file 200\n"), None);
        assert_eq!(V1.left_by("", "900\n", ""), None);
    }

    #[test]
    fn lines_of_memory_alone_name_a_group() {
        let of = |line| group(line).map(|(version, path)| (version.root, path));
        assert_eq!(of("0::/a/b"), Some((V2.root, "/a/b")));
        assert_eq!(of("4:memory:/c:d"), Some((V1.root, "/c:d")));
        assert_eq!(of("4:cpu,memory:/"), Some((V1.root, "/")));
        assert_eq!(of("1:cpu:/"), None);
        assert_eq!(of("nonsense"), None);
    }
}
