//! A plan explained on one page: what it weighs, what it loses, how fast it should be, and why each weight has its format.
//!
//! The page is one HTML file that fetches nothing, made from what the plan carries: its manifest and its certificate.
//!
//! Never: a measurement, a clock, or a number that the plan or the cost model does not give. The same plan and prices give
//! the same bytes.

mod bars;
mod cost;
mod decisions;
mod effects;
mod figures;
mod formats;
mod front;
mod grid;
mod headline;
mod heatmap;
mod inputs;
mod labels;
mod layer_names;
mod layers;
mod markup;
mod outliers;
mod page;
mod price;
mod quality;
mod range;
mod scale;
mod scatter;
mod section;
mod source;
mod style;
mod table;
mod warnings;

pub use inputs::ReportInputs;
pub use layer_names::split_layer;
pub use page::page;
pub use price::{Currency, Price};
