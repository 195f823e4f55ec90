//! What the assembler said of the code it made.

/// What one kernel takes of a multiprocessor, and what the compiler warned of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that a thread stores to or loads from memory because registers did not suffice.
    pub spill_bytes: u32,
    /// Bytes of a thread's stack frame: arrays indexed at run time, or calls.
    pub stack_bytes: u32,
    /// Bytes of shared memory that the code itself declares; what the launch asks for comes on top.
    pub shared_bytes: u32,
    /// Warnings of the compiler and the assembler, one line each.
    pub warnings: Vec<String>,
}

impl Report {
    /// Reads the log of a compilation with `--ptxas-options=-v`. Where it tells of several functions, the largest counts.
    pub(crate) fn parse(log: &str) -> Report {
        let mut report = Report::default();
        for line in log.lines().map(str::trim) {
            let number = |unit: &str| number_before(line, unit).unwrap_or(0);
            if line.contains("warning") || line.contains("C75") {
                report.warnings.push(line.to_owned());
            } else if line.contains("bytes stack frame") {
                let spilled = number("bytes spill stores") + number("bytes spill loads");
                report.spill_bytes = report.spill_bytes.max(spilled);
                report.stack_bytes = report.stack_bytes.max(number("bytes stack frame"));
            } else if line.contains("Used ") {
                report.registers = report.registers.max(number("registers"));
                report.shared_bytes = report.shared_bytes.max(number("bytes smem"));
            }
        }
        report
    }

    /// What makes a kernel slower than it was written to be: spills, a stack frame, or matrix instructions that the
    /// assembler had to serialise or registers that it could not reallocate (C75xx).
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        if self.spill_bytes > 0 {
            faults.push(format!("{} bytes of spills", self.spill_bytes));
        }
        if self.stack_bytes > 0 {
            faults.push(format!("a stack frame of {} bytes", self.stack_bytes));
        }
        faults.extend(self.warnings.iter().filter(|w| w.contains("C75")).cloned());
        faults
    }
}

/// The number that stands right before `unit`.
fn number_before(line: &str, unit: &str) -> Option<u32> {
    line[..line.find(unit)?].split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = "ptxas info    : 0 bytes gmem\n\
            ptxas info    : Compiling entry function 'f' for 'sm_90a'\n\
            ptxas info    : (C7518) Potential Performance Loss: wgmma.mma_async instructions are serialized\n\
            ptxas info    : Function properties for f\n    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
            ptxas info    : Used 32 registers, used 1 barriers, 16 bytes stack frame, 1024 bytes smem";
        let report = Report::parse(log);
        assert_eq!((report.spill_bytes, report.stack_bytes, report.warnings.len()), (20, 16, 1));
        assert_eq!(report.faults().len(), 3);
        assert!(Report::parse("").faults().is_empty());
    }

    #[test]
    fn registers_and_shared_memory_are_read() {
        let report = Report::parse(
            "ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem, 380 bytes cmem[0]",
        );
        assert_eq!((report.registers, report.shared_bytes), (32, 1024));
    }
}
