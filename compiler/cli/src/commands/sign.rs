//! `samp sign`: vouches for a plan, so that others can see that it is the one that its makers made.

mod key;

use std::{
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use samp_abi::plan::{MANIFEST_FILE, SIGNATURE_FILE};
use samp_runtime::OpenPlan;
use serde::Serialize;

pub use self::key::{GeneratedKey, SignError};
use crate::{
    error_code,
    failure::Failure,
    output::{Outcome, in_line, print, print_json},
};

/// Sign a plan, or make the key to sign with
///
/// The signature, in minisign's format, is of plan.json, which holds the hash of everything else. It goes into the plan's
/// folder as plan.json.minisig; `samp validate --key` and `samp run --key` verify it, and so does `minisign -V`.
#[derive(clap::Args)]
pub struct Args {
    /// The plan directory
    #[arg(required_unless_present = "generate_key", requires = "key")]
    plan: Option<PathBuf>,
    /// The secret key's file; the password of an encrypted one is asked for, or is SAMP_KEY_PASSWORD
    #[arg(long, value_name = "FILE.key", requires = "plan")]
    key: Option<PathBuf>,
    /// Replace a signature that is already there
    #[arg(long, requires = "plan")]
    force: bool,
    /// Make NAME.key, which signs, and NAME.pub, which verifies; encrypted if SAMP_KEY_PASSWORD is set
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plan", "key", "force"])]
    generate_key: Option<PathBuf>,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Report<'a> {
    plan: &'a Path,
    digest: &'a str,
    signature: &'a Path,
}

/// Signs, or makes a key, and says what was written.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(name) = &args.generate_key {
        let made = key::generate(name)?;
        if args.json {
            print_json(&made)?
        } else {
            print(&made.to_string())?
        }
        return Ok(Outcome::Clean);
    }
    let (Some(plan), Some(key)) = (&args.plan, &args.key) else {
        return Err(Failure::new(error_code::USAGE, "expected PLAN and --key, or --generate-key").into());
    };
    let signature = plan.join(SIGNATURE_FILE);
    let opened = samp_runtime::open(plan)?;
    let key = key::read(key)?;
    if !args.force && signature.symlink_metadata().is_ok() {
        return Err(SignError::Signed(signature).into());
    }
    let text = signed(&opened, &key)?;
    write(&signature, &text, args.force)?;
    let digest = opened.digest();
    if args.json {
        print_json(&Report { plan, digest, signature: &signature })?;
    } else {
        print(&format!("{}: signed\ndigest blake3:{digest}\n", in_line(plan)))?;
    }
    Ok(Outcome::Clean)
}

/// The signature of a plan. Its trusted comment says of which, for `minisign -V`, which shows it.
fn signed(plan: &OpenPlan, key: &minisign::SecretKey) -> anyhow::Result<String> {
    let manifest = plan.manifest_bytes()?;
    let trusted = format!("file:{MANIFEST_FILE}\tdigest:blake3:{}", plan.digest());
    let public = minisign::PublicKey::from_secret_key(key)?;
    let signature = minisign::sign(Some(&public), key, &manifest[..], Some(&trusted), Some("signed by samp"));
    Ok(signature.context("signing")?.into_string())
}

/// Puts the signature in its place in one step, so that there is never half of one.
fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(".signature")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(path.parent().unwrap_or(Path::new(".")))
        .with_context(writing)?;
    file.write_all(text.as_bytes()).with_context(writing)?;
    file.as_file().sync_all().with_context(writing)?;
    let put = if force { file.persist(path) } else { file.persist_noclobber(path) };
    put.map(drop).map_err(|error| error.error).with_context(writing)
}
