//! Flags whose values have names: the help lists all of them, and so does the refusal of another.

use std::{error::Error, str::FromStr};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A parser of values by these names.
pub fn one_of<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Into<Box<dyn Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    let values = names.into_iter().map(PossibleValue::new);
    PossibleValuesParser::new(values).try_map(|name: String| name.parse::<T>())
}
