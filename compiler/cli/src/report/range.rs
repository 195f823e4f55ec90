//! Which numbers the page can show.

use samp_compiler::{certificate::Certificate, emit::CERTIFICATE_FILE};
use samp_ir::Diagnostic;
use serde_json::Value;

use crate::error_code;

/// Sizes of numbers, but for 0, that the page can show: sums, products and quotients of any two of them are finite. What is
/// measured lies far inside.
const LEAST: f64 = 1e-150;
const MOST: f64 = 1e150;

/// Refuses a certificate with a number that the page cannot show.
pub(super) fn check_range(certificate: &Certificate) -> Result<(), Diagnostic> {
    let certificate = serde_json::to_value(certificate).expect("string keys");
    match outside(&certificate, "") {
        None => Ok(()),
        Some((place, number)) => {
            let message = format!(
                "`{place}`: expected 0 or a number between {LEAST:e} and {MOST:e} in size, found {number:e}"
            );
            Err(Diagnostic::bad_input(error_code::CERTIFICATE, message)
                .in_file(CERTIFICATE_FILE)
                .hint("the plan or its certificate is broken: compile the model again"))
        }
    }
}

/// The first number outside of the range, with the keys that lead to it.
fn outside(value: &Value, place: &str) -> Option<(String, f64)> {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().filter(|x| *x != 0.0 && !(LEAST..=MOST).contains(&x.abs()))?;
            Some((place.trim_start_matches('.').to_owned(), number))
        }
        Value::Array(items) => {
            items.iter().zip(0..).find_map(|(item, at)| outside(item, &format!("{place}[{at}]")))
        }
        Value::Object(map) => map.iter().find_map(|(key, item)| outside(item, &format!("{place}.{key}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_beyond_the_range_are_found_with_their_place() {
        for fine in
            [json!(0), json!(-0.0), json!(1e150), json!(-1e-150), json!({"a": [null, "1e308", u64::MAX]})]
        {
            assert_eq!(outside(&fine, ""), None, "{fine}");
        }
        for (number, place) in [
            (1e308, json!({"a": [1, {"b": 1e308}]})),
            (-1e151, json!({"a": [0, {"b": -1e151}]})),
            (1e-200, json!({"a": [0, {"b": 1e-200}]})),
        ] {
            assert_eq!(outside(&place, ""), Some(("a[1].b".into(), number)));
        }
    }
}
