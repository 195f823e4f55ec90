//! JSON's own grammar as regular expressions.

/// White space between two tokens: bounded, so that no answer is nothing but that.
pub const SPACE: &str = r"[ \n\r\t]{0,8}";
/// A whole number of at most 18 digits.
pub const INTEGER: &str = r"-?(?:0|[1-9][0-9]{0,17})";
/// A number.
pub const NUMBER: &str = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?";
/// A truth value.
pub const BOOLEAN: &str = "(?:true|false)";
/// Nothing.
pub const NULL: &str = "null";
/// A character of a string, as it is or escaped.
pub const CHARACTER: &str = r#"(?:[^"\\\x00-\x1F]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))"#;

/// A string of so many characters.
pub fn string(least: u64, most: Option<u64>) -> String {
    let most = most.map(|most| most.to_string()).unwrap_or_default();
    format!(r#""{CHARACTER}{{{least},{most}}}""#)
}

/// An array whose elements are `element`, so many of them.
pub fn array(element: &str, least: u64, most: Option<u64>) -> String {
    let rest = |least: u64, most: Option<u64>| {
        let most = most.map(|most| most.to_string()).unwrap_or_default();
        format!("(?:{SPACE},{SPACE}{element}){{{least},{most}}}")
    };
    let elements = match (least, most) {
        (_, Some(0)) => String::new(),
        (0, most) => format!("(?:{element}{})?", rest(0, most.map(|most| most - 1))),
        (least, most) => format!("{element}{}", rest(least - 1, most.map(|most| most.saturating_sub(1)))),
    };
    format!(r"\[{SPACE}{elements}{SPACE}\]")
}

/// An object whose members all have values like `value`, under any names.
pub fn object(value: &str) -> String {
    let member = format!("{}{SPACE}:{SPACE}{value}", string(0, None));
    format!(r"\{{{SPACE}(?:{member}(?:{SPACE},{SPACE}{member})*)?{SPACE}\}}")
}

/// Any value, nested so deep.
pub fn value(depth: usize) -> String {
    let plain = format!("{}|{NUMBER}|{BOOLEAN}|{NULL}", string(0, None));
    if depth == 0 {
        return format!("(?:{plain})");
    }
    let inner = value(depth - 1);
    format!("(?:{plain}|{}|{})", array(&inner, 0, None), object(&inner))
}

/// The text that writes a value, and no other.
pub fn literal(value: &impl std::fmt::Display) -> String {
    regex_syntax::escape(&value.to_string())
}
