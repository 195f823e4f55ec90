//! int8 and int4 against the same rules in numpy; see testdata/formats/make_integers.py.

use safetensors::SafeTensors;
use samp_abi::{Component, Format};
use samp_kernels::format::{EncodeError, encode};

use super::{Matrix, decode, golden::floats, read};

const FORMATS: [&str; 6] = ["int8", "int8_outliers", "int4", "int4_g64", "int4_asym", "int4_g64_asym"];
const PARTS: [(Component, &str); 5] = [
    (Component::Values, "codes"),
    (Component::Scales, "scales"),
    (Component::ZeroPoints, "zero_points"),
    (Component::OutlierColumns, "outlier_columns"),
    (Component::OutlierValues, "outlier_values"),
];

/// Compares every array of `input` in `format`, and the decoding.
fn compare(file: &SafeTensors, case: &str, input: &Matrix, name: &str) {
    let format: Format = name.parse().unwrap();
    let encoded = encode(format, input.rows(), input.cols, input, &[3, 90]);
    // Scales in f16 cannot hold it: numpy's rule gives zeros, which are refused here.
    if case == "tiny" && !matches!(format, Format::Int8 { .. }) {
        assert!(matches!(encoded, Err(EncodeError::Underflow { row: 0, .. })), "{name}");
        return;
    }
    let encoded = encoded.unwrap();
    let mut compared = 0;
    for (component, part) in PARTS {
        if let Ok(expected) = file.tensor(&format!("{case}.{name}.{part}")) {
            assert!(encoded.view().part(component) == expected.data(), "{part} of {case} in {name}");
            compared += 1;
        }
    }
    assert_eq!(compared, encoded.parts.len(), "{case} in {name}");
    // Both zeros are one value.
    assert!(decode(&encoded) == floats(file, &format!("{case}.{name}.decoded")).values, "{case} in {name}");
}

#[test]
fn integers_equal_numpy() {
    let data = read("formats/integers.safetensors");
    let file = SafeTensors::deserialize(&data).unwrap();
    let mut cases: Vec<&str> = file.names().into_iter().filter_map(|n| n.strip_suffix(".input")).collect();
    cases.sort_unstable();
    assert_eq!(cases, ["loud_rows", "normal", "one_sided", "ties", "tiny", "zeros"]);
    for case in cases {
        let input = floats(&file, &format!("{case}.input"));
        FORMATS.iter().for_each(|name| compare(&file, case, &input, name));
    }
}
