//! Text from outside as a terminal may be given it: names, paths and what files say can hold characters that move the
//! cursor, colour what follows or turn its direction.

use std::borrow::Cow;

/// The text with control characters as escapes, such as `\u{1b}`; line ends and tabs stay.
///
/// ```
/// assert_eq!(samp_ir::printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_control(c) && !matches!(c, '\n' | '\t'))
}

/// The same for what stands in one line: line ends and tabs are escaped, too.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// Whether a terminal or a reader of its text would be led by a character rather than shown it.
pub fn is_control(c: char) -> bool {
    // Line and paragraph separators; marks, embeddings, overrides and isolates of direction.
    let of_layout = matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || of_layout
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_escaped(c) => shown.push(c),
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_a_terminal_is_shown_as_an_escape() {
        for (text, shown, line) in [
            ("plain – ünicode 模型", "plain – ünicode 模型", "plain – ünicode 模型"),
            ("a\tb\nc", "a\tb\nc", "a\\tb\\nc"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("over\rwritten", "over\\rwritten", "over\\rwritten"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe", "\\u{202e}txt.exe"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
            assert_eq!(printable_line(text), line, "{text:?}");
        }
        assert!(matches!(printable("nothing to do"), Cow::Borrowed(_)));
    }
}
