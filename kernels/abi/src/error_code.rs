//! What an error code is: each crate declares its own with [`error_codes!`](crate::error_codes), and the command joins
//! the tables.

use std::io;

/// Why an error came about, and by that who has to act and how a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The question was sound and the answer is no: a limit that nothing satisfies, a budget, a promise not kept.
    Refusal,
    /// The command was used wrongly or was given bad input.
    Input,
    /// The machine lacks something: space, permission, a library, a lock that another process holds.
    Environment,
    /// samp broke its own rules.
    Bug,
}

impl Cause {
    /// What a process ends with for this cause: 1, 2, 3 and 4 in the order of declaration; 0 is success.
    pub fn exit_code(self) -> u8 {
        match self {
            Cause::Refusal => 1,
            Cause::Input => 2,
            Cause::Environment => 3,
            Cause::Bug => 4,
        }
    }

    /// The cause of a failed operation on a file. A path that does not exist, or is not what it should be, is input;
    /// all else (permission, a full or read-only disk, too many open files) is of the environment.
    pub fn of_io(kind: io::ErrorKind) -> Cause {
        use io::ErrorKind::{
            InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof,
        };
        match kind {
            NotFound | NotADirectory | IsADirectory | InvalidInput | InvalidData | InvalidFilename
            | UnexpectedEof => Cause::Input,
            _ => Cause::Environment,
        }
    }
}

/// One entry of a table of error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorCode {
    /// `E` and four digits; it is never given to something else.
    pub code: &'static str,
    /// What is wrong, in one line without a full stop.
    pub title: &'static str,
    /// Why it comes about, unless the error itself knows better (a file that is missing, one that may not be read).
    pub cause: Cause,
    /// When it comes about, in one to three sentences.
    pub explanation: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Declares the error codes of a crate: a constant `NAME: &str` for each, and `TABLE: &[ErrorCode]` of all.
///
/// ```
/// mod error_code {
///     samp_abi::error_codes! {
///         TOO_LONG = "E9901", Input, "The prompt is too long",
///             "The prompt has more tokens than the plan's context.",
///             "Shorten it, or compile with a larger --max-model-len.";
///     }
/// }
/// assert_eq!(error_code::TOO_LONG, "E9901");
/// assert_eq!(error_code::TABLE[0].cause.exit_code(), 2);
/// ```
#[macro_export]
macro_rules! error_codes {
    ($($name:ident = $code:literal, $cause:ident, $title:literal, $explanation:expr, $remedy:expr;)*) => {
        $(
            #[doc = concat!($title, ".")]
            pub const $name: &str = $code;
        )*
        /// Every code of this crate.
        pub const TABLE: &[$crate::ErrorCode] = &[$(
            $crate::ErrorCode {
                code: $code,
                title: $title,
                cause: $crate::Cause::$cause,
                explanation: $explanation,
                remedy: $remedy,
            },
        )*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_input_and_a_full_disk_is_the_environment() {
        assert_eq!(Cause::of_io(io::ErrorKind::NotFound).exit_code(), 2);
        for kind in
            [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem]
        {
            assert_eq!(Cause::of_io(kind).exit_code(), 3, "{kind}");
        }
        assert_eq!([Cause::Refusal.exit_code(), Cause::Bug.exit_code()], [1, 4]);
    }
}
