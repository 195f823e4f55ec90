//! Byte counts as people write them.

use std::fmt;

/// A byte count, printed with a decimal unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0 as f64;
        let text = match self.0 {
            0..1_000 => format!("{} B", self.0),
            1_000..1_000_000 => format!("{:.1} KB", value / 1e3),
            1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
            _ => format!("{:.2} GB", value / 1e9),
        };
        f.pad(&text)
    }
}

impl std::str::FromStr for Bytes {
    type Err = String;

    /// Reads `38GB`, `1.5 GiB`, `512`; units are B, KB, MB, GB, TB, KiB, MiB, GiB.
    fn from_str(text: &str) -> Result<Bytes, String> {
        let wrong = || format!("`{text}` is not a byte count such as 38GB, 1.5GiB or 4096");
        let trimmed = text.trim();
        let found =
            UNITS.iter().find(|(unit, _)| trimmed.to_ascii_lowercase().ends_with(&unit.to_ascii_lowercase()));
        let (number, scale) =
            found.map_or((trimmed, 1), |(unit, scale)| (&trimmed[..trimmed.len() - unit.len()], *scale));
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * scale as f64;
        if !(0.0..1.8e19).contains(&bytes) {
            return Err(wrong());
        }
        Ok(Bytes(bytes.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn byte_counts_read_as_written() {
        assert_eq!("38GB".parse(), Ok(Bytes(38_000_000_000)));
        assert_eq!("1.5 GiB".parse(), Ok(Bytes(1_610_612_736)));
        assert_eq!("4096".parse(), Ok(Bytes(4096)));
        assert_eq!("12b".parse(), Ok(Bytes(12)));
        for wrong in ["", "GB", "-1GB", "1XB", "1e30GB", "nan", "µB"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
        assert_eq!(Bytes(45_370_000_000).to_string(), "45.37 GB");
    }
}
