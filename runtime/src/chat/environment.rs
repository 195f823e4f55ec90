//! The environment that templates run in: Jinja as transformers sets it up, on minijinja.

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value,
    formatting::{FormatStyle, format},
    syntax::SyntaxConfig,
    value::{Rest, Tuple, ValueKind},
};

use super::{cycler::Cycler, date::Date, dialect::PERCENT, filters, json::tojson, methods::call_method};

/// Instructions that one rendering may take: a long conversation needs some ten thousand.
const FUEL: u64 = 10_000_000;

/// An environment without templates; `strftime_now` says `date`.
pub(super) fn environment(date: Date) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(call_method);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: &str| date.strftime(format));
    environment.add_function("cycler", |items: Rest<Value>| Value::from_object(Cycler::new(items.to_vec())));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_filter("tojson", tojson);
    filters::add_to(&mut environment);
    environment.add_filter(PERCENT, percent);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    Ok(environment)
}

/// What has a length and can be indexed, in Python: texts and dictionaries, too.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
}

fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// The operator `%`: formatting of a text, the remainder of a number.
fn percent(left: &Value, right: &Value) -> Result<Value, Error> {
    let Some(text) = left.as_str() else { return remainder(left, right) };
    let values: Vec<Value> = match right.downcast_object_ref::<Tuple>() {
        Some(_) => right.try_iter()?.collect(),
        None => vec![right.clone()],
    };
    format(FormatStyle::Printf, text, &values).map(Value::from)
}

/// As Python has it: of the sign of the divisor.
fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let refused = || {
        let message = format!("expected numbers, the second not 0, found {left} % {right}");
        Error::new(ErrorKind::InvalidOperation, message)
    };
    if let (true, true, Some(a), Some(b)) =
        (left.is_integer(), right.is_integer(), left.as_i64(), right.as_i64())
    {
        let rest = a.checked_rem(b).ok_or_else(refused)?;
        return Ok(Value::from(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    match (f64::try_from(left.clone()), f64::try_from(right.clone())) {
        (Ok(a), Ok(b)) if b != 0.0 => {
            let rest = a % b;
            Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }))
        }
        _ => Err(refused()),
    }
}
