//! Numbers on the command line: one below 0 is a value and no option, and what is no number is told what a number is.

use std::{
    error::Error,
    num::{IntErrorKind, ParseFloatError, ParseIntError},
};

use clap::Command;

/// The command line whose options all take numbers below 0, so that each option says itself what its range is.
pub fn with_negative_numbers(command: Command) -> Command {
    let takes_value = |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
    command
        .mut_args(|arg| if takes_value(&arg) { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(with_negative_numbers)
}

/// What the standard library's refusal of a number means; `None` of any other error.
pub fn expected(refusal: &(dyn Error + 'static)) -> Option<&'static str> {
    if refusal.is::<ParseFloatError>() {
        return Some("expected a number, such as 0.5 or 4");
    }
    Some(match refusal.downcast_ref::<ParseIntError>()?.kind() {
        IntErrorKind::PosOverflow => "expected a smaller number, such as 16",
        _ => "expected a whole number of 0 or more, such as 16",
    })
}
