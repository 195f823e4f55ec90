//! Machine code as a file: whether it is whole. The driver takes no length and would read on.

/// What is wrong with `bytes` as an ELF file of 64-bit little-endian values, if anything.
pub(super) fn flaw(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01";
    if !bytes.starts_with(MAGIC) {
        return Some("is not machine code of a GPU");
    }
    (!is_whole(bytes).unwrap_or(false)).then_some("is cut short")
}

/// Whether headers and all that they name lie inside. `None` where a header does not.
fn is_whole(bytes: &[u8]) -> Option<bool> {
    let inside = |start: u64, size: u64| start.checked_add(size).is_some_and(|end| end <= bytes.len() as u64);
    let segments = table(bytes, 32, 54)?;
    let sections = table(bytes, 40, 58)?;
    for header in segments {
        if !inside(number(bytes, header + 8, 8)?, number(bytes, header + 32, 8)?) {
            return Some(false);
        }
    }
    for header in sections {
        const TAKES_NO_SPACE: u64 = 8;
        let size = match number(bytes, header + 4, 4)? {
            TAKES_NO_SPACE => 0,
            _ => number(bytes, header + 32, 8)?,
        };
        if !inside(number(bytes, header + 24, 8)?, size) {
            return Some(false);
        }
    }
    Some(true)
}

/// Where the headers of a table begin, whose own start and whose entries' size and count are found at these places.
fn table(bytes: &[u8], start: u64, entries: u64) -> Option<impl Iterator<Item = u64>> {
    let (start, size) = (number(bytes, start, 8)?, number(bytes, entries, 2)?);
    let count = number(bytes, entries + 2, 2)?;
    let end = start.checked_add(size * count)?;
    (end <= bytes.len() as u64).then(|| (0..count).map(move |index| start + index * size))
}

fn number(bytes: &[u8], at: u64, size: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let mut value = [0; 8];
    value[..size].copy_from_slice(bytes.get(at..at.checked_add(size)?)?);
    Some(u64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own executable is an ELF file as well.
    #[test]
    fn a_whole_file_has_no_flaw_and_any_part_of_it_does() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(flaw(&whole), None);
        for length in [63, 64, 4096, whole.len() / 2, whole.len() - 1] {
            assert_eq!(flaw(&whole[..length]), Some("is cut short"), "{length}");
        }
        assert_eq!(flaw(b""), Some("is not machine code of a GPU"));
        assert_eq!(flaw(b".version 9.0"), Some("is not machine code of a GPU"));
    }
}
