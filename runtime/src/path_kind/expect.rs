//! What was wanted of a path against what is there, and what to do where they differ.

use std::path::{Path, PathBuf};

use super::{
    FileKind, FolderKind, PathKind,
    absent::{Missing, begun, fetch, hub_id},
    shell::quoted,
    unfinished_download, what_is_there,
};

/// What a path is to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A plan's folder.
    Plan,
    /// A checkpoint's folder.
    Checkpoint,
    /// Either of them.
    PlanOrCheckpoint,
    /// A file: what it is, such as `a file of records`, and how the names of such files end.
    File(&'static str, &'static [&'static str]),
}

/// A path that leads to something else than was wanted. Its text says what was given, expected and found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given}: expected {expected}, found {found}; {hint}", given = .given.display())]
pub struct WrongPath {
    /// The path as it was given.
    pub given: PathBuf,
    /// What was wanted.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
    /// What to do.
    pub hint: String,
    /// Whether the system is in the way, and not what was given.
    pub environment: bool,
}

/// Looks at a path; refuses it unless it leads to what is wanted, as far as names and first bytes say.
pub fn expect(path: &Path, wanted: Wanted) -> Result<PathKind, WrongPath> {
    let found = what_is_there(path);
    if wanted.is(&found) {
        return Ok(found);
    }
    Err(WrongPath {
        given: path.into(),
        expected: wanted.noun(),
        found: describe(path, &found),
        hint: remedy(path, wanted, &found),
        environment: matches!(found, PathKind::Unreadable(_)),
    })
}

impl Wanted {
    fn is(self, found: &PathKind) -> bool {
        let is_plan =
            || matches!(found, PathKind::Folder(FolderKind::Plan | FolderKind::PlanWithoutManifest));
        let is_checkpoint = || matches!(found, PathKind::Folder(FolderKind::Checkpoint));
        match self {
            Wanted::Plan => is_plan(),
            Wanted::Checkpoint => is_checkpoint(),
            Wanted::PlanOrCheckpoint => is_plan() || is_checkpoint(),
            // A pipe may hold anything.
            Wanted::File(..) => matches!(found, PathKind::File(_) | PathKind::Pipe),
        }
    }

    /// For people, such as `a plan's folder`.
    pub fn noun(self) -> &'static str {
        match self {
            Wanted::Plan => "a plan's folder",
            Wanted::Checkpoint => "a checkpoint's folder",
            Wanted::PlanOrCheckpoint => "the folder of a plan or of a checkpoint",
            Wanted::File(noun, _) => noun,
        }
    }

    /// What every such thing is like, for want of better advice.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Wanted::Plan => "a plan is a folder with plan.json in it, as samp compile makes it",
            Wanted::Checkpoint => {
                "a checkpoint is a folder with config.json, weights in safetensors and tokenizer.json"
            }
            Wanted::PlanOrCheckpoint => {
                "a plan is a folder with plan.json in it, a checkpoint one with config.json"
            }
            Wanted::File(..) => "check the path",
        }
    }
}

/// What is there, for people.
fn describe(path: &Path, found: &PathKind) -> String {
    match found {
        PathKind::Nothing if path.as_os_str().is_empty() => "an empty path".into(),
        PathKind::Nothing => Missing::on(path).map_or("nothing there".into(), |missing| missing.describe()),
        PathKind::DanglingLink(target) => format!("a link to {}, which is not there", target.display()),
        PathKind::LinkLoop => "links that lead in a circle".into(),
        PathKind::BelowFile(file) => format!("{}, which is a file and no folder", file.display()),
        PathKind::TooLong => "a name or a path that is longer than the file system allows".into(),
        PathKind::Unreadable(error) => format!("that it cannot be looked at: {error}"),
        PathKind::Pipe => "a pipe".into(),
        PathKind::Special(noun) => (*noun).into(),
        PathKind::File(kind) => kind.noun().into(),
        PathKind::Folder(kind) => folder(path, kind),
    }
}

fn folder(path: &Path, kind: &FolderKind) -> String {
    match kind {
        FolderKind::Plan => "a plan".into(),
        FolderKind::PlanWithoutManifest => "a plan without plan.json".into(),
        FolderKind::Checkpoint => "a checkpoint".into(),
        FolderKind::ConfigAlone if unfinished_download(path) => {
            "a download that is not finished: no weights yet".into()
        }
        FolderKind::ConfigAlone => "config.json without weights".into(),
        FolderKind::WeightsAlone => "weights without config.json".into(),
        FolderKind::Adapter => "a PEFT adapter, which changes a model and is none itself".into(),
        FolderKind::Foreign(format, first) => format!("{} ({first}) and no safetensors", format.noun),
        FolderKind::HubCache(_) => "a repository in the hub's cache, whose snapshots are the model".into(),
        FolderKind::Parent { plans, checkpoints } => {
            let count = |count, one: &str, many: &str| match count {
                0 => None,
                1 => Some(format!("a folder with {one} in it")),
                n => Some(format!("a folder of {n} {many}")),
            };
            let plans = count(plans.len(), "a plan", "plans");
            plans.or(count(checkpoints.len(), "a checkpoint", "checkpoints")).unwrap_or_default()
        }
        FolderKind::Empty => "an empty folder".into(),
        FolderKind::Other(names) => format!("a folder with other files: {}", names.join(", ")),
    }
}

/// What to do.
fn remedy(path: &Path, wanted: Wanted, found: &PathKind) -> String {
    let otherwise = || wanted.explained().to_owned();
    match found {
        PathKind::Nothing => absent(path, wanted),
        PathKind::DanglingLink(_) => "make the link anew, or give the folder itself".into(),
        PathKind::LinkLoop => "remove the links, and give the folder itself".into(),
        PathKind::Unreadable(_) => "check the permissions of it and of the folders above it".into(),
        PathKind::File(kind) => of_file(path, wanted, *kind).unwrap_or_else(otherwise),
        PathKind::Folder(kind) => of_folder(path, wanted, kind).unwrap_or_else(otherwise),
        PathKind::BelowFile(_) | PathKind::TooLong | PathKind::Pipe | PathKind::Special(_) => otherwise(),
    }
}

fn absent(path: &Path, wanted: Wanted) -> String {
    let near = Missing::on(path).and_then(|missing| missing.near());
    let is_file = matches!(wanted, Wanted::File(..));
    let is_plan = matches!(wanted, Wanted::Plan | Wanted::PlanOrCheckpoint);
    if let Some(unfinished) = begun(path).filter(|_| is_plan) {
        return format!(
            "the compile that makes it was not finished: the same samp compile command goes on from {}",
            quoted(&unfinished)
        );
    }
    match (near, hub_id(path).filter(|_| !is_file)) {
        (Some(near), _) => format!("did you mean {}?", quoted(&near)),
        (None, Some(id)) => fetch(&id),
        _ if path.starts_with("~") => {
            "the shell did not put your home in place of ~: leave out the quotes".into()
        }
        _ if path.as_os_str().is_empty() => "a variable of the script may not be set".into(),
        _ => wanted.explained().into(),
    }
}

fn of_file(path: &Path, wanted: Wanted, kind: FileKind) -> Option<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match kind {
        _ if wanted.is(&what_is_there(parent)) => Some(format!("give its folder: {}", quoted(parent))),
        FileKind::Foreign(format) if wanted != Wanted::Plan => Some(format.remedy(path)),
        FileKind::LfsPointer => Some(format!("run git lfs pull in {}", quoted(parent))),
        FileKind::Archive => Some("unpack it, and give the folder that it holds".into()),
        FileKind::Manifest if wanted == Wanted::Checkpoint => Some(AFTER_COMPILE.into()),
        FileKind::Profile => Some("a profile goes to samp compile --profile".into()),
        _ => None,
    }
}

const AFTER_COMPILE: &str = "a plan is what samp compile makes of a checkpoint: give the checkpoint, or make one of the plan by samp export";

fn of_folder(path: &Path, wanted: Wanted, kind: &FolderKind) -> Option<String> {
    if let Wanted::File(_, suffixes) = wanted {
        let plain = matches!(kind, FolderKind::Other(_) | FolderKind::Parent { .. });
        return file_in(path, suffixes)
            .filter(|_| plain)
            .map(|file| format!("give a file in it, such as {}", quoted(&file)));
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty())
        && wanted.is(&what_is_there(above))
    {
        return Some(format!("give the folder above it: {}", quoted(above)));
    }
    let (plans_wanted, checkpoints_wanted) = (wanted != Wanted::Checkpoint, wanted != Wanted::Plan);
    match kind {
        FolderKind::Parent { plans, .. } if plans_wanted && !plans.is_empty() => Some(one_of(path, plans)),
        FolderKind::Parent { checkpoints, .. } if checkpoints_wanted && !checkpoints.is_empty() => {
            Some(one_of(path, checkpoints))
        }
        FolderKind::Plan if wanted == Wanted::Checkpoint => Some(AFTER_COMPILE.into()),
        FolderKind::Checkpoint => {
            Some(format!("compile it first: samp compile {} -o PLAN, then give PLAN", quoted(path)))
        }
        FolderKind::ConfigAlone if checkpoints_wanted => Some(fetch_rest(path)),
        FolderKind::WeightsAlone if checkpoints_wanted => {
            Some("fetch the whole checkpoint: config.json says what model the weights are of".into())
        }
        FolderKind::Adapter if checkpoints_wanted => {
            Some(format!("{MERGE} {} MERGED, then give MERGED", quoted(path)))
        }
        FolderKind::Foreign(format, first) if checkpoints_wanted => Some(format.remedy(&path.join(first))),
        FolderKind::HubCache(Some(snapshot)) => Some(format!("give its snapshot: {}", quoted(snapshot))),
        _ => None,
    }
}

const MERGE: &str = "merge it into its base model first: python -c 'import sys; from peft import \
     AutoPeftModelForCausalLM as M; from transformers import AutoTokenizer as T; a, o = sys.argv[1:]; m = \
     M.from_pretrained(a, dtype=\"auto\"); b = m.peft_config[\"default\"].base_model_name_or_path; \
     m.merge_and_unload().save_pretrained(o); T.from_pretrained(b).save_pretrained(o)'";

/// How the files of a checkpoint that are missing get here.
pub fn fetch_rest(folder: &Path) -> String {
    let repository =
        folder.ancestors().nth(2).and_then(|above| above.file_name()?.to_str()?.strip_prefix("models--"));
    let command = match repository {
        Some(id) => format!("hf download {}", id.replacen("--", "/", 1)),
        None => format!("hf download ORG/NAME --local-dir {}", quoted(folder)),
    };
    format!("fetch the rest: {command} takes only what is missing")
}

fn one_of(path: &Path, names: &[String]) -> String {
    let paths: Vec<String> = names.iter().take(8).map(|name| quoted(&path.join(name))).collect();
    match paths.as_slice() {
        [one] => format!("give that one: {one}"),
        several => format!("give one of them: {}", several.join(", ")),
    }
}

/// The first file in a folder whose name ends so.
fn file_in(folder: &Path, suffixes: &[&str]) -> Option<PathBuf> {
    let entries = folder.read_dir().ok()?.flatten().map(|entry| entry.path());
    let fits = |path: &PathBuf| suffixes.iter().any(|end| path.to_string_lossy().ends_with(end));
    entries.filter(|path| fits(path) && path.is_file()).min()
}
