//! The certificate in a plan, for commands that read it.

use std::path::Path;

use samp_compiler::{
    certificate::{CERTIFICATE_VERSION, Certificate},
    emit::CERTIFICATE_FILE,
};
use samp_runtime::OpenPlan;

use crate::{error_code, failure::Failure};

/// The certificate of a plan, if there is one. Its version is told first, so that a later one is refused for that reason.
pub fn read(plan: &OpenPlan) -> Result<Option<Certificate>, Failure> {
    plan.file(CERTIFICATE_FILE).map(parse).transpose()
}

/// That a plan has none.
pub fn missing(plan: &Path) -> Failure {
    let message = format!("{}: this plan carries no {CERTIFICATE_FILE}", plan.display());
    Failure::new(error_code::CERTIFICATE, message).hint("compile it again")
}

fn parse(bytes: &[u8]) -> Result<Certificate, Failure> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: samp_abi::plan::Version,
    }
    let refuse = |message: String| {
        let failure = Failure::new(error_code::CERTIFICATE, message).in_file(CERTIFICATE_FILE);
        failure.hint("compile the plan again")
    };
    let malformed = |why: serde_json::Error| refuse(format!("expected a certificate, found: {why}"));
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    let (expected, found) = (CERTIFICATE_VERSION, head.schema);
    if found.major != expected.major {
        return Err(refuse(format!("expected schema version {expected} or a compatible one, found {found}")));
    }
    serde_json::from_slice(bytes).map_err(malformed)
}
