//! What a subcommand came to, its results on stdout, and what is said beside them on stderr. All text for people goes
//! through here, and control characters that it got from names, paths and files are shown as escapes.

use std::{
    fmt::{Display, Write as _},
    io::{self, IsTerminal, StdoutLock, Write},
    os::fd::BorrowedFd,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use samp_ir::{is_control, printable, printable_line};

/// What a command that made its checks came to.
pub enum Outcome {
    /// Done, nothing found.
    Clean,
    /// Done, with findings.
    Findings,
}

/// Prints a result on stdout. Unlike `print!`, a closed pipe is an error of the kind that the command passes over.
pub fn print(text: &str) -> anyhow::Result<()> {
    Ok(write(&printable(text))?)
}

/// Prints a value as indented JSON on stdout.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(write(&(json_escaped(&serde_json::to_string_pretty(value)?) + "\n"))?)
}

/// A path within a line: line ends in it are escaped, too, so that it cannot look like a line of its own.
pub fn in_line(path: &Path) -> String {
    printable_line(&path.display().to_string()).into_owned()
}

/// Says a line on stderr. Unlike `eprintln!`, it does not mind that nobody listens.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// The same in place of the bar that stands there on a terminal.
pub fn say_over_bar(line: impl Display) {
    let _ = if io::stderr().is_terminal() { write!(io::stderr(), "\r\x1b[2K") } else { Ok(()) };
    say(line);
}

/// Stdout, for what goes there as it is.
///
/// # Errors
/// The process was started without one.
pub fn stdout() -> io::Result<StdoutLock<'static>> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("stdout is closed; lead it to a file, a pipe or /dev/null"));
    }
    Ok(io::stdout().lock())
}

fn write(text: &str) -> io::Result<()> {
    let mut out = stdout()?;
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// JSON whose strings hold no control characters: serde escapes those of ASCII, terminals follow others as well.
fn json_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            // Between values only; in strings serde has escaped it.
            '\n' => escaped.push(c),
            c if is_control(c) => write!(escaped, "\\u{:04x}", u32::from(c)).expect("a string takes all"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether stdout was closed when the process was started.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Looks before `main`: the standard library opens /dev/null in place of a closed stdout as its first act, after which
/// results would be lost in silence.
#[used]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: the number is only asked about; nothing is read from, written to or closed through it, and the answer for one
    // that is not open is an error.
    let stdout = unsafe { BorrowedFd::borrow_raw(1) };
    CLOSED.store(rustix::io::fcntl_getfd(stdout).is_err(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_and_leads_no_terminal() {
        let value = ["\u{9b}2J\u{7f}\u{1b}\n\u{202e}ü"];
        let json = json_escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(json.chars().all(|c| c == '\n' || !is_control(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), value);
    }
}
