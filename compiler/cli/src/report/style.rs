//! The style sheet of the page.

/// The style sheet, which stands in the page itself.
pub const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use samp_abi::Format;

    use super::STYLE;

    /// Text and what it stands on. WCAG 2.2 AA asks for a contrast of 4.5.
    const TEXT: [(&str, &str); 18] = [
        ("ink", "paper"),
        ("ink", "card"),
        ("soft", "paper"),
        ("soft", "card"),
        ("link", "paper"),
        ("link", "card"),
        // The format shown: the label that is switched on.
        ("paper", "ink"),
        ("ink", "tint"),
        ("soft", "tint"),
        ("s-low", "s0"),
        ("s-low", "s1"),
        ("s-low", "s2"),
        ("s-low", "s3"),
        ("s-low", "s4"),
        ("s-mid", "s5"),
        ("s-high", "s6"),
        ("s-high", "s7"),
        ("s-high", "s8"),
    ];
    /// Marks and what they stand on. WCAG 2.2 AA asks for 3.
    const MARKS: [(&str, &str); 6] = [
        ("mark", "paper"),
        ("mark", "card"),
        ("line", "paper"),
        ("other", "paper"),
        // The edge that every bar and key has, whatever its colour.
        ("edge", "card"),
        ("edge", "paper"),
    ];

    /// The colours of the light page and of the dark one, by name.
    fn themes() -> [BTreeMap<&'static str, &'static str>; 2] {
        let mut roots = STYLE.split(":root {").skip(1);
        let mut next = || colours(roots.next().unwrap().split('}').next().unwrap());
        let light = next();
        let dark = light.clone().into_iter().chain(next()).collect();
        [light, dark]
    }

    fn colours(declared: &'static str) -> BTreeMap<&'static str, &'static str> {
        let each = declared.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(':'));
        each.map(|(name, value)| (name.trim(), value.trim())).collect()
    }

    /// The relative luminance of `#rrggbb`.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn contrast_is_what_wcag_says() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.005);
    }

    #[test]
    fn text_and_marks_stand_out_light_and_dark() {
        for (theme, colours) in ["light", "dark"].into_iter().zip(themes()) {
            let wanted = TEXT.map(|pair| (pair, 4.5)).into_iter().chain(MARKS.map(|pair| (pair, 3.0)));
            for ((front, back), least) in wanted {
                let found = contrast(colours[front], colours[back]);
                assert!(found >= least, "{theme}: --{front} on --{back} has {found:.2}, below {least}");
            }
        }
    }

    #[test]
    fn every_shade_of_the_heat_map_sets_its_own_text() {
        for (shade, text) in
            ["low", "low", "low", "low", "low", "mid", "high", "high", "high"].iter().enumerate()
        {
            let rule = format!(".h{shade} {{ background: var(--s{shade}); color: var(--s-{text}); }}");
            assert!(STYLE.contains(&rule), "{rule}");
        }
    }

    #[test]
    fn every_format_has_a_colour_and_a_pattern_of_its_own() {
        let rule = |format: &Format| {
            let found = STYLE.split(&format!(".f-{format} {{ background: ")).nth(1);
            let (pattern, colour) = found.unwrap_or_else(|| panic!("{format}")).split_once('#').unwrap();
            (pattern, colour.split(';').next().unwrap())
        };
        let patterns: BTreeSet<_> = Format::ALL.iter().map(|format| rule(format).0).collect();
        let colours: BTreeSet<_> = Format::ALL.iter().map(|format| rule(format).1).collect();
        assert_eq!((patterns.len(), colours.len()), (Format::ALL.len(), Format::ALL.len()));
    }
}
