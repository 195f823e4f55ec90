//! What the elements of a stored array must be.

use std::ops::Range;

use bytemuck::Pod;
use samp_abi::{
    Component, ElementType, Format, Layout,
    plan::{StoredComponent, Tensor},
};
use samp_kernels::format::FP8_MAX;

/// Elements that are searched together: a few kilobytes.
const RUN: usize = 1 << 10;

/// The rule that the elements of an array keep.
#[derive(Clone, Copy)]
enum Rule {
    /// f32 scales that keep codes up to this one finite.
    Scales(f32),
    /// Finite f32.
    Finite,
    /// 16-bit floats whose exponent has not all of these bits.
    Finite16(u16),
    /// E4M3 codes other than NaN.
    Fp8,
    /// Bytes of 4 bits.
    Nibbles,
    /// Indices that ascend below a bound.
    Columns(u64),
}

impl Rule {
    fn of(tensor: &Tensor, part: &StoredComponent) -> Option<Rule> {
        Some(match (part.dtype, part.component) {
            (ElementType::F32, Component::Scales) => Rule::Scales(f32::MAX / largest_code(tensor.format)),
            (ElementType::F32, _) => Rule::Finite,
            (ElementType::F16, _) => Rule::Finite16(0x7C00),
            (ElementType::Bf16, _) => Rule::Finite16(0x7F80),
            (ElementType::U8, _) if matches!(tensor.format, Format::Fp8E4m3(_)) => Rule::Fp8,
            (ElementType::U8, Component::ZeroPoints) if tensor.layout != Layout::RowMajor => Rule::Nibbles,
            (ElementType::U32, Component::OutlierColumns) => Rule::Columns(tensor.cols),
            _ => return None,
        })
    }
}

/// The largest value that a code stands for before its scale.
fn largest_code(format: Format) -> f32 {
    match format {
        Format::Fp8E4m3(_) => FP8_MAX,
        Format::Int8 { .. } => 128.0,
        _ => 1.0,
    }
}

/// What the elements of a part are expected to be; `None` where any will do.
pub(super) fn expected(tensor: &Tensor, part: &StoredComponent) -> Option<&'static str> {
    Some(match Rule::of(tensor, part)? {
        Rule::Scales(_) => "scales above 0 that keep every code finite",
        Rule::Finite | Rule::Finite16(_) => "finite numbers",
        Rule::Fp8 => "codes other than NaN",
        Rule::Nibbles => "zero points up to 15",
        Rule::Columns(_) => "ascending columns of the tensor",
    })
}

/// The first element that is not as it must be, among those of a part's bytes in `range`, which holds whole elements.
pub(super) fn first_bad_value(
    tensor: &Tensor,
    part: &StoredComponent,
    bytes: &[u8],
    range: Range<usize>,
) -> Option<usize> {
    let block = &bytes[range.clone()];
    let found = match Rule::of(tensor, part)? {
        // Not `contains`: without branches a run of elements is compared in vectors.
        Rule::Scales(largest) => first::<f32>(block, |x| !((x >= f32::MIN_POSITIVE) & (x <= largest))),
        Rule::Finite => first::<f32>(block, |x| !x.is_finite()),
        Rule::Finite16(exponent) => first::<u16>(block, |x| x & exponent == exponent),
        Rule::Fp8 => first::<u8>(block, |x| x & 0x7F == 0x7F),
        Rule::Nibbles => first::<u8>(block, |x| x > 15),
        Rule::Columns(bound) => {
            let columns: &[u32] = bytemuck::cast_slice(bytes);
            let [start, end] = [range.start, range.end].map(|at| at / size_of::<u32>());
            let holds = |i: usize| u64::from(columns[i]) < bound && (i == 0 || columns[i - 1] < columns[i]);
            return (start..end).find(|&i| !holds(i));
        }
    };
    found.map(|index| range.start / part.dtype.bytes() as usize + index)
}

/// The index of the first element that is wrong. Sound runs are passed over without a branch for each element.
fn first<T: Pod>(bytes: &[u8], wrong: impl Fn(T) -> bool) -> Option<usize> {
    let elements: &[T] = bytemuck::cast_slice(bytes);
    let sound = |run: &&[T]| !run.iter().fold(false, |any, &x| any | wrong(x));
    let passed: usize = elements.chunks(RUN).take_while(sound).map(<[T]>::len).sum();
    elements[passed..].iter().position(|&x| wrong(x)).map(|at| passed + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_element_is_found_wherever_it_stands() {
        let elements = 3 * RUN + 5;
        for at in [0, 1, RUN - 1, RUN, 2 * RUN + 7, elements - 1] {
            let mut values = vec![1.0f32; elements];
            values[at] = f32::NAN;
            *values.last_mut().unwrap() = f32::INFINITY;
            let bytes: &[u8] = bytemuck::cast_slice(&values);
            assert_eq!(first::<f32>(bytes, |x| !x.is_finite()), Some(at));
        }
        assert_eq!(first::<u8>(&vec![7; elements], |x| x > 15), None);
        assert_eq!(first::<u8>(&[], |_| true), None);
    }
}
