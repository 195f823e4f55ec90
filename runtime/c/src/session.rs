//! Sessions: opened, asked, freed.

use std::ffi::c_char;

use samp_runtime::{Prompt, Session};

use crate::{
    arguments::{elements, place, sized, text, value},
    last_error::call,
    options::samp_options,
    status::{Failure, samp_status},
};

/**
 * A plan that is loaded on a device. Any thread may use it, several at a time: their answers advance token by token in turns.
 * After fork() the child opens the plan anew.
 */
pub struct samp_session(pub(crate) Session);

/**
 * Opens the plan in the folder `plan`, checks every byte of it, and loads it. `options` may be NULL. `*session` is set on
 * SAMP_STATUS_OK alone, and is the caller's to give to samp_free. Any thread may open; two sessions share nothing but the
 * pages of the plan's files.
 *
 * # Safety
 *
 * `plan` and the texts of `options` end in NUL; `options.size` is the size of what it points to.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_open(
    plan: *const c_char,
    options: *const samp_options,
    session: *mut *mut samp_session,
) -> samp_status {
    call(|| {
        // SAFETY: the caller gives memory for a pointer, or NULL.
        let place = unsafe { place("session", session) }?;
        // SAFETY: the caller's text ends in NUL, or is NULL.
        let plan = unsafe { text("plan", plan) }?;
        // SAFETY: plain data that begins with its size; the caller set it.
        let options = unsafe { sized("options", options) }?;
        // SAFETY: the caller's texts end in NUL, or are NULL.
        let options = unsafe { options.session_options() }?;
        let opened = Session::open(plan, options)?;
        place.write(Box::into_raw(Box::new(samp_session(opened))));
        Ok(())
    })
}

/**
 * Frees what samp_open gave; NULL is passed over. Nothing may use the session during the call or after it.
 *
 * # Safety
 *
 * `session` came from samp_open and has not been freed.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_free(session: *mut samp_session) {
    call(|| {
        if !session.is_null() {
            // SAFETY: samp_open boxed it, and the caller gives it back once.
            drop(unsafe { Box::from_raw(session) });
        }
        Ok(())
    });
}

/**
 * Elements of a row of logits; 0 where `session` is NULL.
 *
 * # Safety
 *
 * `session` came from samp_open and has not been freed, or is NULL.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_vocab_size(session: *const samp_session) -> usize {
    // SAFETY: the caller's session is alive, or NULL.
    let session = unsafe { session.as_ref() };
    session.map_or(0, |session| session.0.plan().manifest().model.vocab_size as usize)
}

/**
 * The tokens of a text, with those that begin texts. `*count` says how many there are, also where `capacity` is too small
 * for them: then the status is SAMP_STATUS_BAD_INPUT and nothing is written to `tokens`, which may be NULL where `capacity`
 * is 0. No pointer is kept.
 *
 * # Safety
 *
 * `session` is alive, `text` ends in NUL, and `tokens` has room for `capacity` elements.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_encode(
    session: *const samp_session,
    text: *const c_char,
    tokens: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> samp_status {
    call(|| {
        // SAFETY: the caller's session is alive, or NULL.
        let session = unsafe { value("session", session) }?;
        // SAFETY: the caller's text ends in NUL, or is NULL.
        let text = unsafe { crate::arguments::text("text", text) }?;
        // SAFETY: the caller gives memory for a count, or NULL.
        let place = unsafe { place("count", count) }?;
        let found = session.0.encode(Prompt::Text(text))?;
        place.write(found.len());
        // SAFETY: the caller gives so much room, or NULL.
        unsafe { fill("tokens", &found, tokens, capacity) }
    })
}

/**
 * The logits of the token after each of `tokens`: `count` rows of samp_vocab_size elements into `logits`, which has room for
 * `capacity` of them. Computed in a sequence of its own. No pointer is kept.
 *
 * # Safety
 *
 * `session` is alive, `tokens` has `count` elements, and `logits` has room for `capacity`.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_logits(
    session: *const samp_session,
    tokens: *const u32,
    count: usize,
    logits: *mut f32,
    capacity: usize,
) -> samp_status {
    call(|| {
        // SAFETY: the caller's session is alive, or NULL.
        let session = unsafe { value("session", session) }?;
        // SAFETY: the caller gives so many tokens, or NULL.
        let tokens = unsafe { elements("tokens", tokens, count) }?;
        let needed = count.saturating_mul(session.0.plan().manifest().model.vocab_size as usize);
        if capacity < needed {
            return Err(too_small("logits", needed, capacity));
        }
        let found = session.0.logits(tokens)?;
        // SAFETY: the caller gives so much room, or NULL.
        unsafe { fill("logits", found.as_slice(), logits, capacity) }
    })
}

/**
 * The version of this library, such as 0.1.0. Never NULL, and always valid.
 */
#[unsafe(no_mangle)]
pub extern "C" fn samp_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Writes a result where the caller has room for it.
///
/// # Safety
///
/// A pointer that is not null points to room for `capacity` elements.
unsafe fn fill<T: Copy>(name: &str, found: &[T], to: *mut T, capacity: usize) -> Result<(), Failure> {
    if found.len() > capacity {
        return Err(too_small(name, found.len(), capacity));
    }
    if to.is_null() && !found.is_empty() {
        return Err(Failure::argument(format!("`{name}` is NULL")));
    }
    // SAFETY: there is room for so many, and what was found is not the caller's memory.
    unsafe { found.as_ptr().copy_to_nonoverlapping(to, found.len()) };
    Ok(())
}

fn too_small(name: &str, needed: usize, capacity: usize) -> Failure {
    Failure::argument(format!("`{name}` has room for {capacity} elements and takes {needed}"))
}
