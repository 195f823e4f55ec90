//! Figures as the page writes them.

use samp_passes::assignment::Unit;

use samp_compiler::lower::size::Bytes;

/// A loss, e.g. `0.000865`.
pub fn nats(value: f64) -> String {
    Unit::Nats.show(value).trim_end_matches(" nats").into()
}

/// A loss where there is little room, e.g. `2.1e−5`.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        // Below is what rounding of the sums themselves gives.
        ..1e-12 => "< 1e−12".into(),
        _ => format!("{value:.1e}").replace('-', "−"),
    }
}

/// A change of loss with its sign, e.g. `+1.2e−5`.
pub fn signed(value: f64) -> String {
    let text = short(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

/// A change of bytes with its sign, e.g. `−12.1 MB`.
pub fn signed_bytes(change: i128) -> String {
    let sign = if change < 0 { '−' } else { '+' };
    format!("{sign}{}", Bytes(change.unsigned_abs().min(u128::from(u64::MAX)) as u64))
}

/// A time in nanoseconds, e.g. `1.234 ms`.
pub fn time(nanos: f64) -> String {
    Unit::Nanos.show(nanos)
}

/// How much a ratio is above 1, e.g. `+0.072 %`.
pub fn growth(ratio: f64) -> String {
    format!("{:+.3} %", 100.0 * (ratio - 1.0)).replace('-', "−")
}

/// A rate or a price: three significant digits, thousands apart.
pub fn amount(value: f64) -> String {
    let digits = if value >= 100.0 || value <= 0.0 { 0 } else { (2 - value.log10().floor() as i32).min(9) };
    let text = format!("{value:.*}", digits as usize);
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let grouped: Vec<String> =
        whole.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    grouped.join("\u{202f}") + rest
}

/// A power of ten, e.g. `10⁻⁴`.
pub fn power_of_ten(exponent: i32) -> String {
    let raise = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    format!("10{}", exponent.to_string().chars().map(raise).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(nats(0.000_865_02), "0.000865");
        assert_eq!(
            (short(2.14e-5), short(0.0), short(2e-18)),
            ("2.1e−5".into(), "0".into(), "< 1e−12".into())
        );
        assert_eq!(
            (signed(2.14e-5), signed(-2.14e-5), signed(0.0)),
            ("+2.1e−5".into(), "−2.1e−5".into(), "0".into())
        );
        assert_eq!(signed_bytes(-12_100_000), "−12.1 MB");
        assert_eq!((growth(1.000_72), growth(0.9994)), ("+0.072 %".into(), "−0.060 %".into()));
        assert_eq!((power_of_ten(-12), power_of_ten(3)), ("10⁻¹²".into(), "10³".into()));
    }

    #[test]
    fn amounts_have_three_digits() {
        assert_eq!(amount(0.012_345), "0.0123");
        assert_eq!(amount(1.5), "1.50");
        assert_eq!(amount(99.0), "99.0");
        assert_eq!(amount(1234.5), "1\u{202f}234");
        assert_eq!(amount(1_234_567.0), "1\u{202f}234\u{202f}567");
        assert_eq!(amount(0.0), "0");
    }
}
