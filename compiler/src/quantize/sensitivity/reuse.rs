//! Whether what was measured before holds for what is compiled now.

use samp_ir::Diagnostic;

use crate::{certificate::Profile, error_code};

impl Profile {
    /// Refuses what `before`, an earlier profile, measured of another checkpoint or of weights shaped or rounded otherwise
    /// than for this one. Warns of other data, or where an old profile does not say.
    pub fn check_reuse(&self, before: &Profile) -> Result<Option<Diagnostic>, Diagnostic> {
        let refuse = |what: &str, [expected, found]: [&str; 2]| {
            let message = format!("{what}: expected {expected}, found {found}");
            Diagnostic::bad_input(error_code::PROFILE, message)
        };
        if before.model != self.model {
            return Err(refuse("the profile's checkpoint", [&self.model, &before.model])
                .hint("measure this checkpoint, or compile the one that was measured"));
        }
        let [own, earlier] = [self, before].map(|profile| profile.quality.as_ref().map(|q| named(q)));
        let own = own.unwrap_or_default();
        if let Some(found) = earlier.as_ref().filter(|found| **found != own) {
            return Err(refuse("the quality passes that the profile was measured under", [&own, found])
                .hint(
                    "measure again with the same --quality (and --seed, if it rotates) as is compiled with",
                ));
        }
        if before.rounding != self.rounding {
            return Err(refuse(
                "the rounding that the profile was measured under",
                [&self.rounding, &before.rounding],
            )
            .hint("measure again with the same --quality as is compiled with"));
        }
        let warning = |message| Diagnostic::bad_input(error_code::OTHER_DATA, message).warning();
        if earlier.is_none() {
            let message = format!(
                "expected a profile that says its quality passes, found one of version {}",
                before.schema
            );
            return Ok(Some(warning(message).hint("measure again if it was made with other passes")));
        }
        Ok((before.data != self.data).then(|| {
            warning("expected a profile measured on this calibration data, found one of other records".into())
                .hint("measure again if the plan is to serve what these records are of")
        }))
    }
}

/// Passes as they are named to people.
fn named(passes: &[String]) -> String {
    if passes.is_empty() { "none".into() } else { passes.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_other_conditions_are_refused_and_of_other_data_warned_of() {
        let measured = |passes: &[&str], rounding: &str, data: &str| Profile {
            quality: Some(passes.iter().map(|pass| (*pass).into()).collect()),
            rounding: rounding.into(),
            data: Some(data.into()),
            ..Profile::empty()
        };
        let own = measured(&["fold", "rotate(7)"], "gptq", "d");
        let refused = |before: &Profile| own.check_reuse(before).unwrap_err().to_string();
        let seeded = refused(&measured(&["fold", "rotate(8)"], "gptq", "d"));
        assert!(seeded.contains("expected fold,rotate(7), found fold,rotate(8)"), "{seeded}");
        assert!(refused(&measured(&[], "gptq", "d")).contains("found none"));
        let rounded = refused(&measured(&["fold", "rotate(7)"], "nearest", "d"));
        assert!(rounded.contains("expected gptq, found nearest") && rounded.contains("hint"), "{rounded}");
        let other = Profile { model: "m".into(), ..own.clone() };
        assert!(refused(&other).contains("checkpoint"));
        assert_eq!(own.check_reuse(&own), Ok(None));
        let elsewhere = measured(&["fold", "rotate(7)"], "gptq", "e");
        assert_eq!(own.check_reuse(&elsewhere).unwrap().map(|w| w.code), Some(error_code::OTHER_DATA));
        let old = Profile { quality: None, data: None, ..own.clone() };
        assert!(own.check_reuse(&old).unwrap().unwrap().to_string().contains("quality passes"));
    }
}
