//! What must come of memory that a kernel writes.

use half::{bf16, f16};
use samp_abi::Format;

use samp_kernels::format::fp8_to_f32;

type Rule = dyn Fn(&[u8]) -> Result<f64, String> + Send + Sync;

/// A rule that bytes must keep; gives the part of its tolerance that they take.
pub struct Check {
    rule: Box<Rule>,
    /// Whether the same launch always writes the same.
    pub(super) same: bool,
}

/// A value and how far from it a result may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// What is expected; NaN for what must be NaN.
    pub value: f64,
    /// The largest distance.
    pub allowed: f64,
}

impl Near {
    /// Values within `absolute + relative · |value|`.
    pub fn all(values: &[f32], absolute: f64, relative: f64) -> Vec<Near> {
        let near = |&value: &f32| {
            let value = f64::from(value);
            Near { value, allowed: absolute + relative * value.abs() }
        };
        values.iter().map(near).collect()
    }

    /// The part of what is allowed that a result takes; infinite for NaN.
    fn part(&self, found: f32) -> f64 {
        if f64::from(found) == self.value || (found.is_nan() && self.value.is_nan()) {
            return 0.0;
        }
        let part = (f64::from(found) - self.value).abs() / self.allowed;
        if part.is_nan() { f64::INFINITY } else { part }
    }
}

impl Check {
    /// A check by any rule.
    pub fn new(rule: impl Fn(&[u8]) -> Result<f64, String> + Send + Sync + 'static) -> Check {
        Check { rule: Box::new(rule), same: true }
    }

    /// No rule: memory that is only used on the way.
    pub fn anything() -> Check {
        Check { same: false, ..Check::new(|_| Ok(0.0)) }
    }

    /// The memory holds these bytes.
    pub fn exactly(expected: Vec<u8>) -> Check {
        Check::new(move |found| match found.iter().zip(&expected).position(|(a, b)| a != b) {
            None if found.len() == expected.len() => Ok(0.0),
            None => Err(format!("{} bytes instead of {}", found.len(), expected.len())),
            Some(at) => Err(format!("byte {at} is {:#04x} instead of {:#04x}", found[at], expected[at])),
        })
    }

    /// The memory holds these words, bit for bit.
    pub fn words<T: bytemuck::NoUninit>(expected: &[T]) -> Check {
        Check::exactly(bytemuck::cast_slice(expected).to_vec())
    }

    /// Values near these, stored as `stored`.
    pub fn near(stored: Format, expected: Vec<Near>) -> Check {
        Check::new(move |found| near(&values(stored, found), &expected))
    }

    /// The same, where no more than one value in a thousand may differ at all.
    pub fn mostly(stored: Format, expected: Vec<Near>) -> Check {
        Check::new(move |found| {
            let found = values(stored, found);
            let differing =
                found.iter().zip(&expected).filter(|(found, near)| near.part(**found) > 0.0).count();
            match differing * 1000 <= found.len() {
                true => near(&found, &expected),
                false => Err(format!("{differing} of {} values differ", found.len())),
            }
        })
    }

    pub(super) fn of(&self, found: &[u8]) -> Result<f64, String> {
        (self.rule)(found)
    }
}

fn near(found: &[f32], expected: &[Near]) -> Result<f64, String> {
    if found.len() != expected.len() {
        return Err(format!("{} values instead of {}", found.len(), expected.len()));
    }
    let mut worst = 0.0f64;
    for (index, (found, near)) in found.iter().zip(expected).enumerate() {
        let part = near.part(*found);
        if part > 1.0 {
            let Near { value, allowed } = near;
            return Err(format!("value {index} is {found}, expected {value} within {allowed:.2e}"));
        }
        worst = worst.max(part);
    }
    Ok(worst)
}

/// Values as they are stored. Panics for formats that results are not stored in.
fn values(stored: Format, bytes: &[u8]) -> Vec<f32> {
    let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match stored {
        Format::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Format::F16 => halves().map(|bits| f16::from_bits(bits).to_f32()).collect(),
        Format::Bf16 => halves().map(|bits| bf16::from_bits(bits).to_f32()).collect(),
        Format::Fp8E4m3(_) => bytes.iter().map(|&code| fp8_to_f32(code)).collect(),
        _ => panic!("results are not stored as {stored}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_near_is_told() {
        let check = Check::near(Format::F32, Near::all(&[1.0, f32::NAN, 4.0], 0.0, 0.5));
        let of = |values: &[f32]| check.of(bytemuck::cast_slice(values));
        assert_eq!(of(&[1.0, f32::NAN, 5.0]), Ok(0.5));
        assert!(of(&[1.0, f32::NAN, f32::NAN]).unwrap_err().contains("value 2"));
        assert!(of(&[1.0, 0.0, 4.0]).unwrap_err().contains("expected NaN"));
        assert!(of(&[1.0, f32::NAN]).unwrap_err().contains("2 values instead of 3"));
    }

    #[test]
    fn bytes_must_be_the_same() {
        let check = Check::words(&[7u16, 8]);
        assert_eq!(check.of(&[7, 0, 8, 0]), Ok(0.0));
        assert!(check.of(&[7, 0, 9, 0]).unwrap_err().contains("byte 2"));
        assert!(check.of(&[7, 0]).is_err());
    }
}
