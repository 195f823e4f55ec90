//! Several targets: the folder of their plans.

use std::{fs, path::Path};

use samp_abi::TargetName;
use samp_compiler::{compile::CompileError, emit::check_place};

use crate::{error_code, failure::Failure};

/// Refuses a target that is named twice: its second plan would be the first.
pub fn check(targets: &[TargetName]) -> Result<(), Failure> {
    let twice = targets.iter().enumerate().find(|(index, target)| targets[..*index].contains(target));
    let Some((_, target)) = twice else { return Ok(()) };
    let message = format!("--target: expected each target once, found {target} twice");
    Err(Failure::new(error_code::SAME_TARGET, message).hint("name it once"))
}

/// The folder that holds a plan for each target. If it was made here and nothing was put into it, it goes away again.
#[derive(Debug)]
pub struct PlansFolder<'a> {
    path: &'a Path,
    made: bool,
}

impl<'a> PlansFolder<'a> {
    /// Makes the folder, or takes the one that is there.
    pub fn make(path: &'a Path) -> Result<PlansFolder<'a>, CompileError> {
        if path.is_dir() {
            return Ok(PlansFolder { path, made: false });
        }
        check_place(path)?;
        fs::create_dir(path).map_err(|source| CompileError::Folder {
            action: "making",
            path: path.into(),
            source,
        })?;
        Ok(PlansFolder { path, made: true })
    }
}

impl Drop for PlansFolder<'_> {
    fn drop(&mut self) {
        if self.made {
            // A folder that holds anything is not removed.
            let _ = fs::remove_dir(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_made_for_nothing_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let plans = dir.path().join("plans");
        drop(PlansFolder::make(&plans).unwrap());
        assert!(!plans.exists());
        let folder = PlansFolder::make(&plans).unwrap();
        fs::create_dir(plans.join("cpu")).unwrap();
        drop(folder);
        assert!(plans.join("cpu").exists());
        fs::remove_dir(plans.join("cpu")).unwrap();
        drop(PlansFolder::make(&plans).unwrap());
        assert!(plans.exists(), "it was there before");
        let refused = PlansFolder::make(&dir.path().join("no/plans")).unwrap_err();
        assert!(refused.to_string().contains("does not exist"), "{refused}");
    }

    #[test]
    fn a_target_is_named_once() {
        let [cpu, h100] = ["cpu", "h100"].map(|name| name.parse::<TargetName>().unwrap());
        assert!(check(&[cpu, h100]).is_ok());
        assert!(check(&[cpu, h100, cpu]).unwrap_err().to_string().contains("found cpu twice"));
    }
}
