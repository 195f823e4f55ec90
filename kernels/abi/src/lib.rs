//! `samp-abi`: the contract between the compiler and the runtime.
//!
//! It names what both sides must agree on: number formats and the sizes they take ([`Format`]), packed
//! layouts ([`Layout`]), targets ([`TargetName`]), the schema of a plan ([`plan::Plan`]) and what an error code is
//! ([`ErrorCode`]).
//!
//! Never: any other samp crate, input or output, or a decision.

mod error_code;
mod format;
mod layout;
mod named_enum;
pub mod plan;
mod target;

pub use error_code::{Cause, ErrorCode};
pub use format::{
    ABSMAX_GROUP, BLOCK, Component, ComponentSpec, ElementType, Format, Group, ParseFormatError, ScaleAxis,
};
pub use layout::{FRAGMENT_BYTES, Layout, ParseLayoutError, TILE_ROWS};
pub use target::{ParseTargetError, TargetName};
