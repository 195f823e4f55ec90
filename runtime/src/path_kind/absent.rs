//! What someone may have meant whose path leads nowhere.

use std::{
    env, fs,
    path::{Component, Path, PathBuf},
};

use super::{folder::COMMIT_BYTES, shell::quoted};
use crate::outside_file::read_regular_text;

/// Where a path ends: the deepest folder on it that is there, and the name that is missing in it.
pub(super) struct Missing {
    folder: PathBuf,
    name: String,
    rest: PathBuf,
}

impl Missing {
    /// `None` if the path names nothing, or all of it is there.
    pub(super) fn on(path: &Path) -> Option<Missing> {
        let there = path.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.is_dir())?;
        let mut rest = path.strip_prefix(there).ok()?.components();
        let name = rest.next()?.as_os_str().to_string_lossy().into_owned();
        Some(Missing { folder: there.into(), name, rest: rest.as_path().into() })
    }

    /// The fault, such as "nothing named `tiny` in testdata/models, which is below the working directory /src".
    pub(super) fn describe(&self) -> String {
        let Missing { folder, name, .. } = self;
        let work =
            env::current_dir().map_or_else(|_| "that is gone".into(), |work| work.display().to_string());
        match folder {
            folder if folder.as_os_str().is_empty() => {
                format!("nothing named `{name}` in the working directory {work}")
            }
            folder if folder.is_relative() => {
                format!("nothing named `{name}` in {}, below the working directory {work}", folder.display())
            }
            folder => format!("nothing named `{name}` in {}", folder.display()),
        }
    }

    /// The path with the missing name put right, where one beside it is spelt nearly so.
    pub(super) fn near(&self) -> Option<PathBuf> {
        let entries =
            fs::read_dir(if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder });
        let names = entries.ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let hidden = self.name.starts_with('.');
        let meant = |name: &String| {
            let path = self.folder.join(name);
            (hidden || !name.starts_with('.'))
                && !name.ends_with(".partial")
                && (self.rest.as_os_str().is_empty() || path.join(&self.rest).exists())
        };
        let name = nearest(&self.name, names.filter(meant))?;
        let path = self.folder.join(name);
        Some(if self.rest.as_os_str().is_empty() { path } else { path.join(&self.rest) })
    }
}

/// The name that is spelt most like the one given, if any is spelt nearly so: other capitals, another ending, or one
/// letter in four mistaken.
pub fn nearest(given: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let distance = |name: &str| {
        let (name, given) = (name.to_lowercase(), given.to_lowercase());
        let stem = name.split_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let letters = strsim::osa_distance(&name, &given);
        if stem == given { letters.min(1) } else { letters }
    };
    let most = (given.chars().count() / 4).max(1);
    let near = names.map(|name| (distance(&name), name)).filter(|(distance, _)| *distance <= most);
    near.min().map(|(_, name)| name)
}

/// `ORG/NAME`, if a path reads as a model on the hub: two names, the first of which is no folder here; or the address of
/// its page.
pub(super) fn hub_id(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let pages = ["https://huggingface.co/", "https://hf.co/", "hf://"];
    let page = pages.iter().find_map(|page| text.strip_prefix(page));
    let id = Path::new(page.unwrap_or(text));
    let mut names = id.components().map(|part| match part {
        Component::Normal(name) => name.to_str().filter(|name| is_hub_name(name)),
        _ => None,
    });
    let (Some(Some(org)), Some(Some(name))) = (names.next(), names.next()) else { return None };
    let whole = page.is_some() || (names.next().is_none() && !Path::new(org).exists());
    whole.then(|| format!("{org}/{name}"))
}

fn is_hub_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(['.', '-'])
}

/// How a model on the hub gets here.
pub(super) fn fetch(id: &str) -> String {
    let name = id.rsplit('/').next().unwrap_or(id);
    let command = format!("hf download {id} --local-dir {name}");
    match cached(id) {
        Some(snapshot) => format!("the hub's cache has it: give {}", quoted(&snapshot)),
        None => format!("if it is a model on the Hugging Face hub, fetch it: {command}, then give {name}"),
    }
}

/// The snapshot of a model in the hub's cache.
fn cached(id: &str) -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/huggingface"));
    let hub = env::var_os("HF_HUB_CACHE").map(PathBuf::from);
    let hub = hub.or_else(|| Some(env::var_os("HF_HOME").map(PathBuf::from).or_else(home)?.join("hub")))?;
    let repository = hub.join(format!("models--{}", id.replace('/', "--")));
    let commit = read_regular_text(&repository.join("refs/main"), COMMIT_BYTES).ok()?;
    Some(repository.join("snapshots").join(commit.trim()))
        .filter(|snapshot| snapshot.join("config.json").exists())
}

/// What lies beside a path of a compile into it that was begun and not finished: packed weights, or measurements.
pub(super) fn begun(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let packed = path.with_file_name(format!(".{name}.partial"));
    let measured = path.with_file_name(format!("{name}.calibration.partial"));
    let is_begun = |folder: &PathBuf| folder.join("journal").exists() || *folder == measured;
    [packed, measured.clone()].into_iter().filter(|folder| folder.is_dir()).find(is_begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(given: &str) -> Option<String> {
        let names = ["tiny-llama", "tiny.plan", "Mistral-7B", "a100", "h100"];
        nearest(given, names.iter().map(ToString::to_string))
    }

    #[test]
    fn names_that_are_spelt_nearly_so_are_meant() {
        for (given, meant) in [
            ("tiny-lama", Some("tiny-llama")),
            ("tniy-llama", Some("tiny-llama")),
            ("tiny", Some("tiny.plan")),
            ("mistral-7b", Some("Mistral-7B")),
            ("b100", Some("a100")),
            ("gemma", None),
            ("x", None),
        ] {
            assert_eq!(near(given).as_deref(), meant, "{given}");
        }
    }

    #[test]
    fn two_names_are_a_model_on_the_hub() {
        for (given, id) in [
            ("meta-llama/Llama-3.2-1B", Some("meta-llama/Llama-3.2-1B")),
            ("https://huggingface.co/meta-llama/Llama-3.2-1B/tree/main", Some("meta-llama/Llama-3.2-1B")),
            ("Llama-3.2-1B", None),
            ("./meta-llama/Llama-3.2-1B", None),
            ("/meta-llama/Llama-3.2-1B", None),
            ("models/meta-llama/Llama-3.2-1B", None),
            ("meta llama/Llama", None),
            ("src/llama", None),
        ] {
            assert_eq!(hub_id(Path::new(given)).as_deref(), id, "{given}");
        }
    }
}
