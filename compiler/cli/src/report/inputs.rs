//! What the page is made from.

use samp_abi::plan::Plan;
use samp_compiler::certificate::{Certificate, QualityEvidence};

use super::price::Price;

/// A plan with what is known of it.
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
    pub(super) fn quality(&self) -> Option<&'a QualityEvidence> {
        self.certificate.quality.as_ref()
    }
}
