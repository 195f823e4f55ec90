//! What every enum of names shares, written once.

/// Gives an enum a name for each value: `ALL`, `name` and `Display`, and with a noun and an error type also `FromStr`, whose
/// error lists the names known. `"long" | "short"` accepts a second spelling; every value must have a row.
///
/// ```
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Color {
///     Red,
///     Green,
/// }
/// samp_abi::named_enum! {
///     Color, "color", ParseColorError {
///         (Color::Red) => "red",
///         (Color::Green) => "green" | "verdant",
///     }
/// }
/// assert_eq!("verdant".parse(), Ok(Color::Green));
/// let error = "blue".parse::<Color>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown color `blue`; known are red, green (or verdant)");
/// ```
#[macro_export]
macro_rules! named_enum {
    ($type:ident, $noun:literal, $error:ident {
        $($(#[$attribute:meta])* ($($value:tt)+) => $name:literal $(| $alias:literal)?),+ $(,)?
    }) => {
        $crate::named_enum! { $type { $($(#[$attribute])* ($($value)+) => $name),+ } }

        #[doc = concat!("A text that names no ", $noun, ".")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $error(pub String);

        impl ::std::fmt::Display for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let known: &[&str] =
                    &[$($(#[$attribute])* concat!($name $(, " (or ", $alias, ")")?)),+];
                write!(f, "unknown {} `{}`; known are {}", $noun, self.0, known.join(", "))
            }
        }

        impl ::std::error::Error for $error {}

        impl ::std::str::FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> ::std::result::Result<$type, $error> {
                match text {
                    $($(#[$attribute])* $name $(| $alias)? => Ok($($value)+),)+
                    _ => Err($error(text.to_owned())),
                }
            }
        }
    };
    ($type:ident { $($(#[$attribute:meta])* ($($value:tt)+) => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of the table.
            pub const ALL: [$type; {
                const NAMES: &[&str] = &[$($(#[$attribute])* $name),+];
                NAMES.len()
            }] = [$($(#[$attribute])* $($value)+),+];

            /// The name that is written for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(#[$attribute])* $($value)+ => $name,)+
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
