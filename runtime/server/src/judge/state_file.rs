//! The judge's memory over restarts: a file that is written beside itself and renamed.

use std::{fs, io, path::Path};

use super::state::JudgeState;

/// What the file says, if it is there and of this plan and baseline; of others it says nothing.
pub fn read(path: &Path, plan: &str, baseline: &str) -> io::Result<Option<JudgeState>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let state: JudgeState = serde_json::from_str(&text).map_err(io::Error::other)?;
    Ok((state.plan == plan && state.baseline == baseline).then_some(state))
}

/// Writes the file anew; one that was there stays whole until then.
pub fn write(path: &Path, state: &JudgeState) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, serde_json::to_vec(state).map_err(io::Error::other)?)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::judge::{Cause, JudgeSettings};

    #[test]
    fn what_is_written_is_read_again_by_the_same_plan_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(read(&path, "p", "b").unwrap(), None);
        let settings = JudgeSettings { limit: 0.005, canary: vec![0.1], hold: Duration::from_secs(60) };
        let mut state = JudgeState::new("p".into(), "b".into(), &settings);
        state.scored("all", 0.1, &settings, 5);
        state.roll_back(Cause::Operator, 7);
        write(&path, &state).unwrap();
        assert_eq!(read(&path, "p", "b").unwrap(), Some(state));
        assert_eq!(read(&path, "q", "b").unwrap(), None);
        fs::write(&path, "half of a fi").unwrap();
        assert!(read(&path, "p", "b").is_err(), "a broken memory is no fresh start");
        assert!(
            write(Path::new("/no/such/folder/state"), &JudgeState::new("p".into(), "b".into(), &settings))
                .is_err()
        );
    }
}
