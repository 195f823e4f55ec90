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
mod headline;
mod heatmap;
mod layers;
mod markup;
mod outliers;
mod page;
mod place;
mod quality;
mod scale;
mod scatter;
mod source;
mod table;

use samp_abi::plan::Plan;

pub use cost::Price;
pub use page::page;
pub use place::split_layer;

use samp_compiler::certificate::{Certificate, QualityEvidence};

/// What a page is made from.
#[derive(Clone, Copy)]
pub struct ReportInputs<'a> {
    /// What the plan does.
    pub plan: &'a Plan,
    /// What is known of its precision.
    pub certificate: &'a Certificate,
    /// What machines cost.
    pub prices: &'a [Price],
}

impl<'a> ReportInputs<'a> {
    fn quality(&self) -> Option<&'a QualityEvidence> {
        self.certificate.quality.as_ref()
    }
}
