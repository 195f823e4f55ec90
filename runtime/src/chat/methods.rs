//! Methods of Python's strings, lists and dictionaries that templates call, as far as minijinja-contrib lacks them or takes
//! fewer arguments.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, Tuple, ValueKind, from_args},
};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Characters that a method may pad a text to.
const MAX_WIDTH: usize = 4096;

/// The method of a value: one of these, or else minijinja-contrib's.
pub(super) fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq => list_method(value, method, args)?,
        ValueKind::Map if method == "copy" => Some(value.clone()),
        _ => None,
    };
    own.map_or_else(|| unknown_method_callback(state, value, method, args), Ok)
}

fn list_method(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let found = list.try_iter()?.position(|item| item == *wanted);
            found
                .map(|at| Some(Value::from(at)))
                .ok_or_else(|| refused(format!("{wanted} is not in the list")))
        }
        "copy" => Ok(Some(list.clone())),
        _ => Ok(None),
    }
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let pair = |found: Option<(&str, &str)>, separator: &str, whole_first: bool| {
        let (before, middle, after) = match found {
            Some((before, after)) => (before, separator, after),
            None if whole_first => (text, "", ""),
            None => ("", "", text),
        };
        Value::from(Tuple::from([before, middle, after].map(Value::from)))
    };
    Ok(Some(match method {
        "split" | "rsplit" => split(text, method == "rsplit", args)?,
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            pair(text.split_once(separator), separator, true)
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            pair(text.rsplit_once(separator), separator, false)
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "index" | "rindex" => {
            let (wanted,): (&str,) = from_args(args)?;
            let found = if method == "index" { text.find(wanted) } else { text.rfind(wanted) };
            let at = found.ok_or_else(|| refused("substring not found".into()))?;
            Value::from(text[..at].chars().count())
        }
        "ljust" | "rjust" | "center" | "zfill" => return padded(text, method, args).map(Some),
        "swapcase" => {
            let () = from_args(args)?;
            text.chars().flat_map(swapped).collect::<String>().into()
        }
        "casefold" => {
            let () = from_args(args)?;
            Value::from(text.to_lowercase().replace('ß', "ss"))
        }
        "expandtabs" => {
            let (width,): (Option<usize>,) = from_args(args)?;
            Value::from(with_tabs_expanded(text, width.unwrap_or(8).min(MAX_WIDTH)))
        }
        "isdecimal" => Value::from(!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())),
        "isprintable" => Value::from(!text.chars().any(char::is_control)),
        "title" => Value::from(title(text)),
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.map_or_else(|| kwargs.get::<Option<bool>>("keepends"), |keep| Ok(Some(keep)))?;
            lines(text, keep.unwrap_or(false)).into_iter().collect()
        }
        _ => return Ok(None),
    }))
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// `split` and `rsplit`, with `sep` and `maxsplit` by position or by name. Without a separator white space separates, and
/// none begins or ends a part.
fn split(text: &str, from_end: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, kwargs): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(given) => Some(given),
        None => kwargs.get::<Option<Value>>("sep")?,
    };
    let most = most.map_or_else(|| kwargs.get::<Option<i64>>("maxsplit"), |most| Ok(Some(most)))?;
    kwargs.assert_all_used()?;
    let parts =
        most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_add(1));
    let separator = separator.filter(|given| !given.is_none());
    let parts: Vec<&str> = match separator.as_ref().map(|given| given.as_str()) {
        Some(Some("")) => return Err(refused("empty separator".into())),
        Some(Some(separator)) if from_end => {
            let mut parts: Vec<&str> = text.rsplitn(parts, separator).collect();
            parts.reverse();
            parts
        }
        Some(Some(separator)) => text.splitn(parts, separator).collect(),
        Some(None) => return Err(refused("expected a separator that is a string".into())),
        None => split_white_space(text, from_end, parts),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

fn split_white_space(text: &str, from_end: bool, most: usize) -> Vec<&str> {
    let mut parts = vec![];
    let mut rest = if from_end { text.trim_end() } else { text.trim_start() };
    while !rest.is_empty() {
        let cut = if from_end { rest.rfind(char::is_whitespace) } else { rest.find(char::is_whitespace) };
        match cut.filter(|_| parts.len() + 1 < most) {
            Some(at) if from_end => {
                let width = rest[at..].chars().next().map_or(0, char::len_utf8);
                parts.push(&rest[at + width..]);
                rest = rest[..at].trim_end();
            }
            Some(at) => {
                parts.push(&rest[..at]);
                rest = rest[at..].trim_start();
            }
            None => {
                parts.push(rest);
                break;
            }
        }
    }
    if from_end {
        parts.reverse();
    }
    parts
}

/// Lines without their ends, or with them.
fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = vec![];
    let mut rest = text;
    while !rest.is_empty() {
        let (line, end) = match rest.find(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']) {
            Some(at) if rest[at..].starts_with("\r\n") => (at, at + 2),
            Some(at) => (at, at + rest[at..].chars().next().map_or(0, char::len_utf8)),
            None => (rest.len(), rest.len()),
        };
        lines.push(&rest[..if keep_ends { end } else { line }]);
        rest = &rest[end..];
    }
    lines
}

fn padded(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (usize, Option<char>) = from_args(args)?;
    if width > MAX_WIDTH {
        return Err(refused(format!("{method}: expected a width of at most {MAX_WIDTH}, found {width}")));
    }
    let missing = width.saturating_sub(text.chars().count());
    let fill = |count: usize| fill.unwrap_or(' ').to_string().repeat(count);
    Ok(Value::from(match method {
        "ljust" => format!("{text}{}", fill(missing)),
        "rjust" => format!("{}{text}", fill(missing)),
        "center" => {
            // Python puts the odd one to the left where the width is odd.
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", fill(left), fill(missing - left))
        }
        _ => {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
    }))
}

fn swapped(c: char) -> Vec<char> {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

fn with_tabs_expanded(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if width > 0 => {
                let spaces = width - column % width;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    out
}

/// Every letter after one that is none in upper case, all others in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_letter = false;
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        after_letter = c.is_alphabetic();
    }
    out
}
