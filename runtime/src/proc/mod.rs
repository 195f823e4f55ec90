//! What Linux says of this machine and of this process. Everything is `None` where it does not say.

mod cgroup;
mod file;

use self::file::read;

/// Bytes of memory that may be taken without others losing theirs, on the machine and in each control group of this process:
/// what holds copies of files counts.
pub fn available_memory() -> Option<u64> {
    let machine = kilobytes(&read("/proc/meminfo")?, "MemAvailable:")?;
    Some(cgroup::available().map_or(machine, |group| group.min(machine)))
}

/// The most memory that this process has had resident, in bytes; files that it maps count where they are in memory.
pub(crate) fn peak_resident() -> Option<u64> {
    kilobytes(&read("/proc/self/status")?, "VmHWM:")
}

/// The memory that this process has resident now, in bytes.
pub(crate) fn resident() -> Option<u64> {
    kilobytes(&read("/proc/self/status")?, "VmRSS:")
}

/// Bytes of files that this process has mapped by large pages.
pub(crate) fn file_bytes_in_large_pages() -> Option<u64> {
    kilobytes(&read("/proc/self/smaps_rollup")?, "FilePmdMapped:")
}

/// Bytes that this process has had read from storage; what was in memory already does not count.
pub(crate) fn read_from_storage() -> Option<u64> {
    let text = read("/proc/self/io")?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// Processor time since the machine started, in the system's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessorTicks {
    /// Of this process.
    pub own: u64,
    /// Of all processes, this one among them, and of the system for them.
    pub busy: u64,
    /// What the hypervisor gave to other machines while there was work here.
    pub stolen: u64,
    /// In which there was work or not.
    pub total: u64,
    /// How many processors there are.
    pub processors: u64,
}

impl ProcessorTicks {
    /// Up to now.
    pub(crate) fn now() -> Option<ProcessorTicks> {
        ProcessorTicks::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    fn parse(stat: &str, own: &str) -> Option<ProcessorTicks> {
        let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks = all.split_whitespace().map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
        // Time of guests, which follows, is counted as the user's already.
        let [user, nice, system, idle, waiting, irq, softirq, stolen] = *ticks.first_chunk()?;
        let busy = user + nice + system + irq + softirq;
        let is_processor = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
        // The name of the process, in parentheses, may hold anything.
        let (_, fields) = own.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [user, system] = [11, 12].map(|index| fields.get(index)?.parse::<u64>().ok());
        Some(ProcessorTicks {
            own: user? + system?,
            busy,
            stolen,
            total: busy + idle + waiting + stolen,
            processors: stat.lines().filter(is_processor).count() as u64,
        })
    }
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_in_bytes() {
        let meminfo =
            "MemTotal:       24691236 kB\nMemFree:         2420552 kB\nMemAvailable:   22949484 kB\n";
        assert_eq!(kilobytes(meminfo, "MemAvailable:"), Some(22_949_484 * 1024));
        assert_eq!(kilobytes("MemTotal: 1 kB\n", "MemAvailable:"), None);
        assert_eq!(kilobytes("VmHWM: many kB\n", "VmHWM:"), None);
    }

    #[test]
    fn ticks_are_told_apart_by_whose_they_are() {
        let stat =
            "cpu  100 5 20 800 30 4 6 35 9 0\ncpu0 50 0 0 0 0 0 0 0 0 0\ncpu1 1 0 0 0 0 0 0 0 0 0\nintr 7\n";
        let own = "12 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 61 4 0 0 20 0";
        let found = ProcessorTicks::parse(stat, own);
        let expected = ProcessorTicks { own: 65, busy: 135, stolen: 35, total: 1000, processors: 2 };
        assert_eq!(found, Some(expected));
        assert_eq!(ProcessorTicks::parse("cpu  1 2 3\n", own), None);
        assert_eq!(ProcessorTicks::parse(stat, "12 (a) R"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found() {
        // The system counts pages roughly, and each figure at its own time.
        let now = resident().unwrap();
        assert!(now > 1 << 20 && peak_resident().unwrap() + (1 << 20) > now);
        let ticks = ProcessorTicks::now().unwrap();
        assert!(ticks.own <= ticks.busy && ticks.busy <= ticks.total && ticks.processors > 0, "{ticks:?}");
        assert!(available_memory() > Some(1 << 20));
    }
}
