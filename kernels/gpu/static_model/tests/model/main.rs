//! The static model over the kernels that plans use: snapshots of what it sees, and loads that come too early. The compiler and
//! the disassembler must be there: `.ci/setup` fetches them.

mod early_loads;
mod machine;
mod rows;
mod tables;
