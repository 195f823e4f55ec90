//! Filters that Jinja has and minijinja lacks, or has otherwise.

use minijinja::{
    Environment, Error, ErrorKind, Value, filters,
    value::{Kwargs, StringInput},
};

/// Spaces that the filter `indent` may add to a line.
const MAX_INDENT: usize = 1024;

/// Adds all of them.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("indent", indent);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("length", length);
    environment.add_filter("count", length);
    environment.add_filter("replace", replace);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
}

/// The filter `escape`, in the entities of Python's markupsafe.
fn escape(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Value::from_safe_string(out)
}

/// Nothing is 0 long.
fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() { Ok(0) } else { filters::length(value) }
}

/// The first `count` occurrences, or all.
fn replace(text: &Value, old: &str, new: &str, count: Option<usize>) -> String {
    let text = text.to_string();
    count.map_or_else(|| text.replace(old, new), |count| text.replacen(old, new, count))
}

/// A text cut to `length` characters between words, unless it is hardly longer.
fn truncate(
    text: &str,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<&str>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let length = length.or(kwargs.get("length")?).unwrap_or(255);
    let killwords = killwords.or(kwargs.get("killwords")?).unwrap_or(false);
    let end = end.map(str::to_owned).or(kwargs.get("end")?).unwrap_or_else(|| "...".into());
    let leeway = kwargs.get::<Option<usize>>("leeway")?.unwrap_or(5);
    kwargs.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let cut: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if killwords { &cut[..] } else { cut.rsplit_once(' ').map_or(&cut[..], |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}

/// Jinja's own filter, up to a width that makes sense.
fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let widest = width.max(kwargs.peek("width").ok());
    if widest.is_some_and(|width| width > MAX_INDENT) {
        let message = format!("indent: expected at most {MAX_INDENT} spaces, found {}", widest.unwrap_or(0));
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    filters::indent(text, width, first, blank, kwargs)
}
