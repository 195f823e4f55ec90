//! What templates are written with and minijinja does not read, put so that it does: every line ends with `\n`, the tag
//! `generation` of transformers becomes a plain block, and `text % values` a call of the filter [`PERCENT`].
//!
//! The texts outside of tags, comments, raw blocks and strings stay as they are.

/// The filter that stands for the operator `%`.
pub(super) const PERCENT: &str = "__percent";

/// The template in minijinja's dialect.
pub(super) fn translate(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    let mut raw = false;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let (opening, closing) = match rest.as_bytes().get(1) {
            Some(b'#') if !raw => {
                let end = rest.find("#}").map_or(rest.len(), |at| at + 2);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            Some(b'%') => ("{%", "%}"),
            Some(b'{') if !raw => ("{{", "}}"),
            _ => {
                out.push('{');
                rest = &rest[1..];
                continue;
            }
        };
        let Some(end) = end_of_code(rest, closing) else { break };
        let code = &rest[opening.len()..end];
        let (before, word, after) = dash_trimmed(code);
        let is_tag = opening == "{%";
        let translated = match (is_tag, word) {
            (true, "generation") if !raw => format!("{before} with {after}"),
            (true, "endgeneration") if !raw => format!("{before} endwith {after}"),
            (true, "raw") => {
                raw = true;
                code.to_owned()
            }
            (true, "endraw") => {
                raw = false;
                code.to_owned()
            }
            _ if raw => code.to_owned(),
            _ => with_percent_calls(code),
        };
        out.push_str(opening);
        out.push_str(&translated);
        out.push_str(closing);
        rest = &rest[end + closing.len()..];
    }
    out.push_str(rest);
    out
}

/// Where the code of a tag ends that `text` begins with: at `closing` outside of strings and, of expressions, of braces.
fn end_of_code(text: &str, closing: &str) -> Option<usize> {
    let mut depth = 0usize;
    for token in tokens(&text[2..]) {
        let at = 2 + token.start;
        if depth == 0 && text[at..].starts_with(closing) {
            return Some(at);
        }
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The marks of white-space control at both ends of a tag's code, and what stands between them.
fn dash_trimmed(code: &str) -> (&str, &str, &str) {
    let inner = code.trim_start_matches(['-', '+']);
    let before = &code[..code.len() - inner.len()];
    let word = inner.trim_end_matches(['-', '+']);
    (before, word.trim(), &inner[word.len()..])
}

/// A lexical unit of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Token<'a> {
    start: usize,
    text: &'a str,
}

/// The units of an expression: strings, words (with numbers), and single characters; white space is left out.
fn tokens(code: &str) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].find(|c: char| !c.is_whitespace())?;
        let rest = &code[at..];
        let first = rest.chars().next()?;
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '"' | '\'' => string_length(rest, first),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let token = Token { start: at, text: &rest[..length] };
        at += length;
        Some(token)
    })
}

/// Bytes of the string literal that `text` begins with.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The code with each `left % right` whose left side may be a text as `left|__percent(right)`. A product, or a number with a
/// sign, on the left is none, and stays.
fn with_percent_calls(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    loop {
        let tokens: Vec<Token<'_>> = tokens(&code).collect();
        let is_percent = |token: &Token<'_>| token.text == "%" && token.start >= from;
        let Some(percent) = tokens.iter().position(is_percent) else { return code };
        let at = tokens[percent].start;
        let Some(right) = operand_end(&tokens, percent + 1).filter(|_| may_be_text(&tokens, percent)) else {
            from = at + 1;
            continue;
        };
        let last = tokens[right - 1];
        let end = last.start + last.text.len();
        let operand = &code[at + 1..end];
        let left = code[..at].trim_end();
        from = left.len() + 1;
        code = format!("{left}|{PERCENT}({}){}", operand.trim(), &code[end..]);
    }
}

/// Whether what stands before the operator at `percent` is a single operand that can be a text.
fn may_be_text(tokens: &[Token<'_>], percent: usize) -> bool {
    let Some(start) = operand_start(tokens, percent) else { return false };
    let is_number = tokens[start].text.starts_with(|c: char| c.is_ascii_digit()) && start + 1 == percent;
    let before = start.checked_sub(1).map(|at| tokens[at].text);
    !is_number && !matches!(before, Some("*" | "/" | "%" | "-" | "+" | "."))
        || tokens[start].text.starts_with(['"', '\'']) && !matches!(before, Some("*" | "/" | "%"))
}

/// The first token of the operand that ends before `end`: a name, a literal or brackets, with what follows it directly.
fn operand_start(tokens: &[Token<'_>], end: usize) -> Option<usize> {
    let mut at = end.checked_sub(1)?;
    loop {
        if matches!(tokens[at].text, ")" | "]" | "}") {
            at = opening(tokens, at)?;
            // A call or an index belongs to what stands before it.
            match at.checked_sub(1).map(|before| tokens[before].text) {
                Some(before) if is_word(before) && !is_keyword(before) || matches!(before, ")" | "]") => {
                    at -= 1;
                    continue;
                }
                _ => {}
            }
        }
        match at.checked_sub(1).map(|before| tokens[before].text) {
            Some("." | "|") => at = at.checked_sub(2)?,
            _ => return Some(at),
        }
    }
}

/// The bracket that the one at `closing` closes.
fn opening(tokens: &[Token<'_>], closing: usize) -> Option<usize> {
    let mut depth = 0;
    for at in (0..=closing).rev() {
        match tokens[at].text {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// One past the last token of the operand that begins at `start`.
fn operand_end(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let mut at = start;
    while matches!(tokens.get(at)?.text, "-" | "+") {
        at += 1;
    }
    at = closed(tokens, at)?;
    loop {
        match tokens.get(at).map(|token| token.text) {
            Some("(" | "[") => at = closed(tokens, at)?,
            Some("." | "|") => at += 2,
            _ => return (at <= tokens.len()).then_some(at),
        }
    }
}

/// One past the token at `start`, or past the bracket that closes it.
fn closed(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn is_keyword(text: &str) -> bool {
    matches!(text, "in" | "if" | "else" | "elif" | "and" | "or" | "not" | "is" | "set" | "for" | "do")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_on_unix() {
        assert_eq!(translate("a\r\nb\rc\n{{ 'd\r\n' }}"), "a\nb\nc\n{{ 'd\n' }}");
    }

    #[test]
    fn the_generation_tag_becomes_a_block() {
        let source = "{%- generation -%}a{%endgeneration%}{# {% generation %} #}{{ '{% generation %}' }}";
        let expected = "{%- with -%}a{% endwith %}{# {% generation %} #}{{ '{% generation %}' }}";
        assert_eq!(translate(source), expected);
        let raw = "{% raw %}{% generation %}{{ {% endraw %}{% generation %}{% endgeneration %}";
        assert_eq!(translate(raw), "{% raw %}{% generation %}{{ {% endraw %}{% with %}{% endwith %}");
        for open in ["{", "{{", "{%", "{#", "{{ '", "{{ {", "a{% if '", "{% raw %}{{"] {
            assert_eq!(translate(open), open);
        }
    }

    #[test]
    fn formatting_by_percent_becomes_a_filter() {
        for (source, expected) in [
            ("{{ '%s: %s' % (a, b[0]) }}", "{{ '%s: %s'|__percent((a, b[0])) }}"),
            ("{{ x.y['%s'] % z.w(1)|upper ~ 'c' }}", "{{ x.y['%s']|__percent(z.w(1)|upper) ~ 'c' }}"),
            ("{{ ('%d' % -1) + \"100%\" }}", "{{ ('%d'|__percent(-1)) + \"100%\" }}"),
            ("{% if loop.index0 % 2 == 0 %}", "{% if loop.index0|__percent(2) == 0 %}"),
            ("{{ 2 * a % 3 }}{{ -a % 3 }}{{ 7 % 3 }}", "{{ 2 * a % 3 }}{{ -a % 3 }}{{ 7 % 3 }}"),
            ("{{ '%s' % '%s' % a }}", "{{ '%s'|__percent('%s')|__percent(a) }}"),
            ("{{ 'a' + '%s' % x }}", "{{ 'a' + '%s'|__percent(x) }}"),
            ("{{ (a)[0] % {'k': 1} }}{{ % }}{{ a % }}", "{{ (a)[0]|__percent({'k': 1}) }}{{ % }}{{ a % }}"),
        ] {
            assert_eq!(translate(source), expected);
        }
    }
}
