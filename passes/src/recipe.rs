//! Recipes: patterns over the model's projections → number formats. Plain data, so that passes take it as input.

use samp_abi::{Format, ScaleAxis};
use samp_ir::Diagnostic;

use crate::error_code;

/// A recipe as the pass `assign_recipe` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Name for people and for the plan's provenance.
    pub name: String,
    /// Format of the KV cache (`f32`, `f16` or `fp8_e4m3_tensor`); `None` leaves it to the target.
    pub kv: Option<Format>,
    /// The rules; the last one that matches a projection decides.
    pub rules: Vec<Rule>,
}

/// One line of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Matched against keys such as `layers.0.self_attn.q_proj`, `embed_tokens` and `lm_head`; `*` stands for any run
    /// of characters, dots and none included.
    pub pattern: String,
    /// What the matched weights are stored as.
    pub format: Format,
}

/// More keys than this are counted, not listed.
const LISTED: usize = 10;

impl Recipe {
    /// The recipe that gives samp its name: MLP linears in nf4, attention linears in fp8, embedding and head in f16.
    pub fn samp() -> Recipe {
        Recipe::from_rules(
            "samp",
            &[
                ("*", Format::F16),
                ("layers.*.self_attn.*", Format::Fp8E4m3(ScaleAxis::Channel)),
                ("layers.*.mlp.*", Format::Nf4),
            ],
        )
    }

    /// All decoder linears in `format`; embedding and head too if it has 16 bits or more, else in f16.
    pub fn uniform(format: Format) -> Recipe {
        let ends = if format.code_bits() >= 16 { format } else { Format::F16 };
        Recipe::from_rules(&format!("uniform:{format}"), &[("*", ends), ("layers.*", format)])
    }

    /// The recipe as its TOML file.
    pub fn to_toml(&self) -> String {
        let mut text = format!("name = {:?}\n", self.name);
        if let Some(kv) = self.kv {
            text += &format!("kv = {:?}\n", kv.name());
        }
        for rule in &self.rules {
            text += &format!("\n[[rule]]\nmatch = {:?}\nformat = {:?}\n", rule.pattern, rule.format.name());
        }
        text
    }

    fn from_rules(name: &str, rules: &[(&str, Format)]) -> Recipe {
        let rule = |&(pattern, format): &(&str, Format)| Rule { pattern: pattern.into(), format };
        Recipe { name: name.into(), kv: None, rules: rules.iter().map(rule).collect() }
    }

    /// The format of each projection, in the order of `keys`.
    ///
    /// # Errors
    /// One [`Diagnostic`] that names every projection that no rule matches, or every rule that matches none.
    pub fn resolve(&self, keys: &[&str]) -> Result<Vec<Format>, Diagnostic> {
        let decide = |key: &&str| self.deciding(key).map(|rule| self.rules[rule].format);
        let formats: Vec<Option<Format>> = keys.iter().map(decide).collect();
        let unmatched = keys.iter().zip(&formats).filter(|(_, f)| f.is_none()).map(|(key, _)| *key);
        self.refuse_if_any(
            error_code::UNMATCHED_PROJECTION,
            "a rule for every projection, found none for",
            unmatched,
        )
        .map_err(|d| d.hint("a first rule with the pattern \"*\" decides for everything that is left"))?;
        let unused = self.rules.iter().map(|r| r.pattern.as_str());
        let unused = unused.filter(|pattern| !keys.iter().any(|key| matches(pattern, key)));
        self.refuse_if_any(
            error_code::UNUSED_RULE,
            "every rule to match a projection, found no match for",
            unused,
        )
        .map_err(|d| self.with_examples(d, keys))?;
        Ok(formats.into_iter().flatten().collect())
    }

    /// A warning that names every rule which matches projections of `keys` but decides for none of them.
    pub(crate) fn overridden(&self, keys: &[&str]) -> Option<Diagnostic> {
        let deciding: Vec<Option<usize>> = keys.iter().map(|key| self.deciding(key)).collect();
        let idle = |(index, rule): &(usize, &Rule)| {
            !deciding.contains(&Some(*index)) && keys.iter().any(|key| matches(&rule.pattern, key))
        };
        let idle = self.rules.iter().enumerate().filter(idle);
        let named = idle.map(|(index, rule)| format!("`{}` (rule {})", rule.pattern, index + 1)).collect();
        let what = "every rule to decide for a projection, found that later rules override all matches of";
        let finding = self.finding(error_code::OVERRIDDEN_RULE, what, named)?;
        Some(finding.warning().hint("the last match wins: move the rule down, or remove it"))
    }

    /// The rule that decides for `key`: the last that matches.
    fn deciding(&self, key: &str) -> Option<usize> {
        self.rules.iter().rposition(|rule| matches(&rule.pattern, key))
    }

    fn refuse_if_any<'a>(
        &self,
        code: &'static str,
        what: &str,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), Diagnostic> {
        self.finding(code, what, names.map(|name| format!("`{name}`")).collect()).map_or(Ok(()), Err)
    }

    /// What is found of so many things; none if there are none.
    fn finding(&self, code: &'static str, what: &str, names: Vec<String>) -> Option<Diagnostic> {
        if names.is_empty() {
            return None;
        }
        let mut listed = names[..names.len().min(LISTED)].join(", ");
        if names.len() > LISTED {
            listed += &format!(" and {} more", names.len() - LISTED);
        }
        Some(Diagnostic::bad_input(code, format!("recipe `{}`: expected {what} {listed}", self.name)))
    }

    fn with_examples(&self, diagnostic: Diagnostic, keys: &[&str]) -> Diagnostic {
        let first = |prefix: &str| keys.iter().find(|key| key.starts_with(prefix));
        let examples: Vec<String> = ["layers.0.self_attn.", "layers.0.mlp.", "embed_tokens", "lm_head"]
            .iter()
            .filter_map(|prefix| first(prefix))
            .map(|key| format!("`{key}`"))
            .collect();
        let diagnostic = diagnostic.note(format!("this model has {}", examples.join(", ")));
        if keys.contains(&"lm_head") {
            return diagnostic.hint("correct the pattern, or remove the rule");
        }
        diagnostic.hint("correct the pattern, or remove the rule; a tied head is `embed_tokens`")
    }
}

/// Whether `key` is `pattern` with each `*` replaced by some run of characters. Linear space, and time at most the
/// product of the lengths: on a mismatch only the last `*` takes one character more.
pub fn matches(pattern: &str, key: &str) -> bool {
    let (pattern, key) = (pattern.as_bytes(), key.as_bytes());
    let (mut p, mut k) = (0, 0);
    let mut star = None;
    while k < key.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, k));
            p += 1;
        } else if pattern.get(p) == Some(&key[k]) {
            (p, k) = (p + 1, k + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, k) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["embed_tokens", "layers.0.self_attn.q_proj", "layers.0.mlp.up_proj", "lm_head"];

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("layers.*.mlp.*", "layers.17.mlp.down_proj", true),
            ("layers.*.mlp.*", "layers.17.self_attn.o_proj", false),
            ("layers.1.*", "layers.10.mlp.up_proj", false),
            ("*proj", "layers.0.mlp.up_proj", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("**x**", "x", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} against {key}");
        }
    }

    #[test]
    fn fixed_recipes() {
        let fp8 = Format::Fp8E4m3(ScaleAxis::Channel);
        assert_eq!(Recipe::samp().resolve(&KEYS), Ok(vec![Format::F16, fp8, Format::Nf4, Format::F16]));
        let nf4 = Recipe::uniform(Format::Nf4).resolve(&KEYS);
        assert_eq!(nf4, Ok(vec![Format::F16, Format::Nf4, Format::Nf4, Format::F16]));
        assert_eq!(Recipe::uniform(Format::Bf16).resolve(&KEYS), Ok(vec![Format::Bf16; 4]));
        // A tied model has no head of its own; no fixed rule depends on one.
        assert!(Recipe::samp().resolve(&KEYS[..3]).is_ok());
    }

    #[test]
    fn unmatched_and_unused_are_reported() {
        let recipe = Recipe::from_rules("r", &[("layers.*", Format::Nf4), ("lm_head", Format::F16)]);
        let finding = recipe.resolve(&KEYS).unwrap_err();
        assert_eq!(
            (finding.code, finding.message.contains("`embed_tokens`")),
            (error_code::UNMATCHED_PROJECTION, true)
        );
        let recipe = Recipe::from_rules("r", &[("*", Format::Nf4), ("layer.*", Format::F16)]);
        let finding = recipe.resolve(&KEYS).unwrap_err();
        assert_eq!((finding.code, finding.message.contains("`layer.*`")), (error_code::UNUSED_RULE, true));
    }

    #[test]
    fn rules_that_never_win_are_named() {
        let recipe = |rules: &[(&str, Format)]| Recipe::from_rules("r", rules).overridden(&KEYS);
        let nf4 = Format::Nf4;
        let warning = recipe(&[("*", nf4), ("layers.0.*", Format::F16), ("lm_head", nf4), ("layers.*", nf4)]);
        let warning = warning.expect("a warning");
        assert_eq!(
            (warning.code, warning.severity),
            (error_code::OVERRIDDEN_RULE, samp_ir::Severity::Warning)
        );
        assert!(warning.message.ends_with("`layers.0.*` (rule 2)"), "{warning}");
        // The same pattern twice: the first never wins.
        let warning = recipe(&[("*", Format::F16), ("*", nf4)]).expect("a warning");
        assert!(warning.message.ends_with("`*` (rule 1)"), "{warning}");
        // A rule without any match is refused elsewhere, and fixed recipes have no idle rule.
        assert_eq!(recipe(&[("*", nf4), ("nowhere", nf4)]), None);
        for fixed in [Recipe::samp(), Recipe::uniform(nf4), Recipe::uniform(Format::Bf16)] {
            assert_eq!(fixed.overridden(&KEYS), None, "{}", fixed.name);
        }
    }
}
