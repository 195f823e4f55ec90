//! A schema's `pattern`: what of it may stand inside a JSON string as it is.

use regex_syntax::{
    Parser,
    hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind},
};

/// Any characters, as the parts of a string that a pattern does not speak of.
const ANY: &str = r#"[^"\\\x00-\x1F]*"#;

/// The expression of the strings that `pattern` is found in, quotes included. Characters that JSON writes escaped are taken
/// out of its classes; a pattern that spells one is refused.
pub fn string(pattern: &str) -> Result<String, String> {
    let (begins, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (ends, rest) = match rest.strip_suffix('$').filter(|before| !before.ends_with('\\')) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let hir = Parser::new().parse(rest).map_err(|error| error.to_string())?;
    let plain = unescaped(hir)?;
    let around = |anchored: bool| if anchored { "" } else { ANY };
    Ok(format!("\"{}(?:{plain}){}\"", around(begins), around(ends)))
}

fn unescaped(hir: Hir) -> Result<Hir, String> {
    Ok(match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => {
            let escaped = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
            if literal.0.iter().any(escaped) {
                return Err("a quote, a backslash or a control character, which JSON writes escaped".into());
            }
            Hir::literal(literal.0)
        }
        HirKind::Class(Class::Unicode(mut class)) => {
            let escaped = [('\0', '\u{1F}'), ('"', '"'), ('\\', '\\')];
            class.difference(&ClassUnicode::new(escaped.map(|(from, to)| ClassUnicodeRange::new(from, to))));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(_)) => return Err("bytes that are no characters".into()),
        HirKind::Look(_) => return Err("an anchor or a word boundary within it".into()),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(unescaped(*repetition.sub)?);
            Hir::repetition(repetition)
        }
        HirKind::Capture(capture) => unescaped(*capture.sub)?,
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(unescaped).collect::<Result<_, _>>()?),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.into_iter().map(unescaped).collect::<Result<_, _>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_as_they_say_and_keep_strings_whole() {
        let takes = |pattern: &str, text: &str| {
            let expression = format!("^(?:{})$", string(pattern).unwrap());
            regex_automata::meta::Regex::new(&expression).unwrap().is_match(text)
        };
        assert!(takes("^[A-Z]{3}$", "\"ABC\"") && !takes("^[A-Z]{3}$", "\"ABCD\""));
        assert!(takes("b+", "\"abba\"") && !takes("b+", "\"aa\""));
        assert!(takes("^(a|b).*$", "\"b c\"") && !takes("^(a|b).*$", "\"b\"c\""));
        for refused in ["a\"b", "\\\\", "\\n", "a\\b", "(", "^a$b"] {
            assert!(string(refused).is_err(), "{refused}");
        }
    }
}
