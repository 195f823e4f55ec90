//! The tables that CUDA kernels read are those of the formats, bit for bit.

use std::fmt::Write;

use samp_kernels::{
    cuda::HEADERS,
    format::{ABSMAX_MAP, FP4, NF4},
};

/// The header as it should be.
fn expected() -> String {
    let mut text = String::from(
        "// Values of codes, printed from `samp_kernels::format`; a test compares them.\n#pragma once\n#include \"dev.cuh\"\n",
    );
    let tables = [("NF4_VALUES", &NF4[..]), ("FP4_VALUES", &FP4), ("ABSMAX_MAP", &ABSMAX_MAP)];
    for (name, values) in tables {
        writeln!(text, "\nDEV_TABLE float {name}[{}] = {{", values.len()).expect("a string takes any text");
        for line in values.chunks(8) {
            let line: Vec<String> = line.iter().map(|value| format!("{value:?}f")).collect();
            writeln!(text, "    {},", line.join(", ")).expect("a string takes any text");
        }
        text.push_str("};\n");
    }
    text
}

#[test]
fn the_header_holds_the_tables_of_the_formats() {
    let header = HEADERS.iter().find(|header| header.name == "tables.cuh").expect("a header of tables");
    let expected = expected();
    assert!(header.text == expected, "kernels/gpu/cuda/tables.cuh should be:\n{expected}");
}
