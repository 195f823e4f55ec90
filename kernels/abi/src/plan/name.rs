//! What may be the name of a checkpoint: text that can be shown anywhere as it is.

/// Names have at most so many characters.
pub const MAX_NAME_CHARS: usize = 200;

/// Whether a name can be shown as it is: it has 1 to [`MAX_NAME_CHARS`] characters, no space around it, and none that
/// controls a terminal or turns the direction of text.
pub fn is_plain_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_NAME_CHARS).contains(&length) && name.trim() == name && !name.chars().any(controls)
}

/// Whether a character is not shown itself and changes how others are.
fn controls(c: char) -> bool {
    let directs = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || directs || breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_that_can_be_shown() {
        for name in ["a", "meta-llama/Llama-3.1-8B", "Größe 7", "模型", &"x".repeat(MAX_NAME_CHARS)] {
            assert!(is_plain_name(name), "{name}");
        }
        let long = "x".repeat(MAX_NAME_CHARS + 1);
        for name in [
            "",
            " ",
            " a",
            "a\n",
            "a\nb",
            "\u{1b}[31mred",
            "a\u{7f}b",
            "\u{202e}gnp.exe",
            "a\u{2028}b",
            &long,
        ] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
