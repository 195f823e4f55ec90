//! Paths as a shell reads them, for the commands in remedies.

use std::path::Path;

/// The path as one word of a shell.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
    let is_word = !text.is_empty() && text.chars().all(plain) && !text.starts_with('-');
    if is_word { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
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
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
