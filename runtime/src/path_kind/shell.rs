//! Paths as a shell reads them, for the commands in remedies.

use std::path::Path;

/// The path as one word of a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
    let is_word = !text.is_empty() && text.chars().all(plain) && !text.starts_with('-');
    match text {
        word if is_word => word,
        text if text.chars().any(char::is_control) => with_escapes(&text),
        text => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A word with escapes for what would lead the terminal that shows it, as bash, zsh and ksh read it.
fn with_escapes(text: &str) -> String {
    let escape = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' | '\r' | '\t' => c.escape_default().to_string(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("$'{}'", text.chars().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        for (path, word) in [
            ("a/b-1.0", "a/b-1.0"),
            ("my model", "'my model'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("-x", "'-x'"),
            ("it's\u{1b}[2J\n", r"$'it\'s\u001b[2J\n'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
