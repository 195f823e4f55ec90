//! Which limits are refused before any work, which an audit violates, and what is then said.

use super::*;
use crate::{certificate::Fingerprint, quantize::data::TokenRecord};

fn limits(overall: Option<f64>, code: f64) -> LossLimits {
    LossLimits { overall, strata: BTreeMap::from([("code".into(), code)]) }
}

fn quality(records: usize, grown: f64, at_most: Option<f64>) -> StratumQuality {
    StratumQuality {
        records,
        tokens: records,
        kl_nats: grown,
        kl_nats_at_most: at_most,
        perplexity_ratio: 1.0 + grown,
        perplexity_ratio_at_most: at_most.map(|grown| 1.0 + grown),
    }
}

/// An audit that found these growths of perplexity, without any doubt.
pub(crate) fn held(overall: f64, code: f64, prose: f64) -> HeldOut {
    let quality = |growth: f64| quality(100, growth, Some(growth));
    let strata = [("code".into(), quality(code)), ("prose".into(), quality(prose))];
    HeldOut { fingerprint: String::new(), overall: quality(overall), strata: strata.into() }
}

/// Data whose held-out records are of these strata; calibrated on are `code` and `prose`.
fn data(held_out: &[&str], warnings: Vec<Diagnostic>) -> CalibrationData {
    let record = |stratum: &&str| TokenRecord {
        tokens: vec![1, 2],
        stratum: (*stratum).into(),
        weight: 1.0,
        chat: false,
    };
    CalibrationData {
        calibration: ["code", "prose"].iter().map(record).collect(),
        held_out: held_out.iter().map(record).collect(),
        fingerprint: Fingerprint::default(),
        warnings,
    }
}

#[test]
fn a_stratum_with_a_limit_of_its_own_is_held_to_that() {
    let strict = limits(Some(0.01), 0.003);
    assert_eq!(strict.violation(&held(0.005, 0.002, 0.009)), None);
    let times = strict.violation(&held(0.005, 0.006, 0.009)).unwrap();
    assert!((times - 1.006f64.ln() / 1.003f64.ln()).abs() < 1e-12, "{times}");
    assert!(strict.violation(&held(0.005, 0.002, 0.02)).is_some(), "others are held to the overall limit");
    assert_eq!(limits(Some(0.01), 0.05).violation(&held(0.01, 0.04, 0.01)), None, "wider is allowed, too");
    assert_eq!(limits(None, 0.003).violation(&held(0.5, 0.002, 0.5)), None);
}

#[test]
fn what_has_no_bound_keeps_no_limit() {
    let mut found = held(0.005, 0.002, 0.009);
    found.strata.insert("prose".into(), quality(1, 0.0, None));
    assert_eq!(limits(Some(0.01), 0.003).violation(&found), Some(f64::INFINITY));
    assert_eq!(limits(None, 0.003).violation(&found), None, "nothing is said of prose");
}

#[test]
fn a_limit_on_an_unknown_stratum_names_those_that_there_are() {
    let data = data(&["prose", "json", "prose", "json"], vec![]);
    let limit = LossLimits { overall: None, strata: [("xml".into(), 0.003)].into() };
    let refused = limit.check(&data).unwrap_err();
    let shown = refused.to_string();
    assert_eq!(refused.code, error_code::UNKNOWN_STRATUM);
    assert!(shown.contains("`xml`") && shown.contains("json, prose"), "{shown}");
    assert_eq!(LossLimits::default().check(&data), Ok(()));
}

#[test]
fn limits_on_too_few_records_are_refused_before_any_work() {
    let overall = LossLimits { overall: Some(0.003), ..LossLimits::default() };
    let enough = data(&["code", "code", "prose", "prose"], vec![]);
    assert_eq!(overall.check(&enough), Ok(()));
    for (held_out, said) in [
        (&["code", "code", "prose"][..], "found 1 of `prose`"),
        (&["code", "code"], "found 0 of `prose`"),
        (&["code"], "found 1 of `code`, 0 of `prose`"),
    ] {
        let few = data(held_out, vec![]);
        let refused = overall.check(&few).unwrap_err();
        let shown = refused.to_string();
        assert_eq!(refused.code, error_code::TOO_FEW_TO_PROMISE);
        assert!(shown.contains("expected 2 or more") && shown.contains(said), "{shown}");
        assert!(shown.contains("55 standard errors above what 2 records show, 6.9 from 5"), "{shown}");
        assert_eq!(LossLimits::default().check(&few), Ok(()), "nothing is promised");
    }
    let code = limits(None, 0.003);
    assert_eq!(code.check(&data(&["code", "code", "prose"], vec![])), Ok(()), "prose has no limit");
}

#[test]
fn records_that_were_calibrated_on_promise_nothing() {
    let overlap = Diagnostic::bad_input(error_code::OVERLAP, "2 of 4 held-out records overlap").warning();
    let data = data(&["code", "code", "prose", "prose"], vec![overlap]);
    assert_eq!(LossLimits::default().check(&data), Ok(()));
    let refused = limits(None, 0.003).check(&data).unwrap_err();
    assert_eq!((refused.code, refused.severity), (error_code::OVERLAP, Severity::Error));
    assert!(refused.message.contains("--max-loss code=0.3 %") && refused.message.contains("2 of 4"));
}

#[test]
fn a_refusal_tells_plans_that_lose_too_much_from_records_that_are_too_few() {
    let limit = LossLimits { overall: Some(0.01), ..LossLimits::default() };
    let refused = |overall: StratumQuality| {
        let found = HeldOut { fingerprint: String::new(), overall, strata: BTreeMap::new() };
        limit.refusal(&[], &found)
    };
    let few = refused(quality(4, 0.002, Some(0.04)));
    assert_eq!(few.code, error_code::TOO_FEW_TO_PROMISE);
    let expected =
        "overall: 0.200 %, at most 4.000 %, where 1 % is allowed, by 4 records; it would take about";
    assert!(few.notes[0].starts_with(expected), "{:?}", few.notes);
    let missed = refused(quality(4, 0.02, Some(0.04)));
    assert_eq!(missed.code, error_code::MISSED_LIMITS);
    assert!(missed.notes[0].ends_with("no number of them would show it"), "{:?}", missed.notes);
}
