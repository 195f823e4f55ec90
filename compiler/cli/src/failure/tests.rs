use anyhow::Context;
use samp_kernels::format::EncodeError;

use super::*;

fn refused(kind: io::ErrorKind) -> EmitError {
    EmitError::Io { action: "writing", path: "plan".into(), source: kind.into() }
}

#[test]
fn what_the_text_of_an_error_says_already_is_not_said_again() {
    let failure = Failure::of(&refused(io::ErrorKind::PermissionDenied).into());
    assert_eq!(failure.to_string(), "error[E0720]: writing plan: permission denied");
    let source = EncodeError::NotFinite { format: samp_abi::Format::Nf4, row: 1, col: 2, value: f32::NAN };
    let failure = Failure::of(&EmitError::Encode { tensor: "w".into(), source }.into());
    assert_eq!(failure.finding.message.matches("holds NaN").count(), 1, "{failure}");
}

#[test]
fn a_file_that_is_missing_is_input_and_one_that_is_refused_the_environment() {
    let exit = |kind: io::ErrorKind| Failure::of(&refused(kind).into()).cause.exit_code();
    assert_eq!((exit(io::ErrorKind::NotFound), exit(io::ErrorKind::StorageFull)), (2, 3));
    let own = Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)).context("writing page.html");
    let failure = Failure::of(&own.unwrap_err());
    assert_eq!((failure.finding.code, failure.cause.exit_code()), (error_code::FILE, 3));
    assert_eq!(failure.finding.message, "writing page.html: permission denied");
}

#[test]
fn a_finding_keeps_its_place_and_hint_under_what_is_said_around_it() {
    let finding = Diagnostic::bad_input("E0301", "expected a file").in_file("a.json").hint("give one");
    for error in [anyhow::Error::from(CompileError::from(finding.clone())), EmitError::from(finding).into()] {
        let failure = Failure::of(&error.context("opening the model"));
        let expected = "error[E0301]: opening the model: expected a file\n  --> a.json\n  hint: give one";
        assert_eq!((failure.to_string().as_str(), failure.cause), (expected, Cause::Input));
    }
}

#[test]
fn limits_that_nothing_satisfies_are_refusals_and_broken_rules_bugs() {
    let cause = |finding: Diagnostic| Failure::of(&finding.into()).cause.exit_code();
    assert_eq!(cause(Diagnostic::bad_input("E0902", "too large")), 1);
    assert_eq!(cause(Diagnostic::compiler_bug("E0320", "no tensor")), 4);
    assert_eq!(Failure::of(&anyhow::anyhow!("?")).cause.exit_code(), 4);
}

#[test]
fn the_document_of_a_panic_says_where_and_what_to_do() {
    let failure = Failure::of_panic("index 3", "src/a.rs:7");
    let document = serde_json::to_value(failure.document()).unwrap();
    assert_eq!((failure.cause.exit_code(), &document["error"]["code"]), (4, &"E1501".into()));
    assert!(failure.to_string().contains("this is a bug in samp") && document["error"]["hint"].is_string());
}
