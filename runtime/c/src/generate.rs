//! Texts, token by token.

use std::{
    ffi::{c_char, c_int, c_void},
    ops::ControlFlow,
};

use samp_runtime::{Delta, Finish, Message, Prompt, Request, Session};

use crate::{
    arguments::{sized, text, value},
    last_error::call,
    options::samp_sampling,
    session::samp_session,
    status::{Failure, samp_status},
};

/**
 * Told of each token: `length` bytes of text in UTF-8, never half a character, with a NUL after them; maybe none. They are
 * valid during the call. Called on the thread that called samp_generate or samp_chat, and may call samp itself. Not 0 ends
 * the answer. Must not throw.
 */
pub type samp_on_token =
    Option<unsafe extern "C" fn(user: *mut c_void, text: *const c_char, length: usize, token: u32) -> c_int>;

/**
 * Why an answer ended.
 */
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum samp_finish {
    /**
     * An end-of-text token or a stop text.
     */
    Stop = 0,
    /**
     * As many tokens as asked for.
     */
    Length = 1,
    /**
     * The callback returned other than 0.
     */
    Cancelled = 2,
    /**
     * As many tokens as the plan's context holds, and fewer than asked for.
     */
    ContextFull = 3,
}

/**
 * What came of a generation.
 */
#[repr(C)]
pub struct samp_result {
    /**
     * Tokens of the prompt.
     */
    pub prompt_tokens: usize,
    /**
     * Tokens generated, the one that ended it included.
     */
    pub tokens: usize,
    /**
     * Why it ended.
     */
    pub finish: samp_finish,
}

/**
 * Continues the text `prompt`; `on_token` is told of each token, with `user`. `sampling` and `result` may be NULL. No pointer
 * is kept. Any thread may call, several at a time.
 *
 * # Safety
 *
 * `session` is alive, texts end in NUL, and `sampling.size` is the size of what it points to.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_generate(
    session: *const samp_session,
    prompt: *const c_char,
    sampling: *const samp_sampling,
    on_token: samp_on_token,
    user: *mut c_void,
    result: *mut samp_result,
) -> samp_status {
    call(|| {
        // SAFETY: the caller's session is alive, or NULL.
        let session = &unsafe { value("session", session) }?.0;
        // SAFETY: the caller's text ends in NUL, or is NULL.
        let prompt = unsafe { text("prompt", prompt) }?;
        // SAFETY: the caller's structure begins with its size, and its texts end in NUL.
        let request = unsafe { request(sampling, session.encode(Prompt::Text(prompt))?) }?;
        // SAFETY: the caller gives room for a result, or NULL.
        unsafe { run(session, request, Told { on_token, user }, result) }
    })
}

/**
 * Answers a conversation, written by the model's chat template: `messages` is a JSON array of {"role", "content"}. Otherwise
 * as samp_generate.
 *
 * # Safety
 *
 * As of samp_generate.
 */
#[unsafe(no_mangle)]
pub unsafe extern "C" fn samp_chat(
    session: *const samp_session,
    messages: *const c_char,
    sampling: *const samp_sampling,
    on_token: samp_on_token,
    user: *mut c_void,
    result: *mut samp_result,
) -> samp_status {
    call(|| {
        // SAFETY: the caller's session is alive, or NULL.
        let session = &unsafe { value("session", session) }?.0;
        // SAFETY: the caller's text ends in NUL, or is NULL.
        let messages = unsafe { text("messages", messages) }?;
        let messages: Vec<Message> = serde_json::from_str(messages).map_err(|error| {
            let expected = r#"expected JSON such as [{"role": "user", "content": "..."}]"#;
            Failure::argument(format!("`messages`: {expected}, found something else: {error}"))
        })?;
        // SAFETY: the caller's structure begins with its size, and its texts end in NUL.
        let request = unsafe { request(sampling, session.encode(Prompt::Chat(&messages))?) }?;
        // SAFETY: the caller gives room for a result, or NULL.
        unsafe { run(session, request, Told { on_token, user }, result) }
    })
}

/// # Safety
///
/// The structure begins with its size, and its texts end in NUL.
unsafe fn request(sampling: *const samp_sampling, prompt: Vec<u32>) -> Result<Request, Failure> {
    // SAFETY: plain data; that it begins with its size is what this function asks for.
    let sampling = unsafe { sized("sampling", sampling) }?;
    Ok(Request {
        prompt,
        sampling: sampling.sampling(),
        max_tokens: sampling.max_tokens(),
        // SAFETY: that its texts end in NUL is what this function asks for.
        stop: unsafe { sampling.stop_texts() }?,
        ignore_eos: sampling.ignore_eos != 0,
        ..Request::default()
    })
}

/// Who is told of tokens.
struct Told {
    on_token: samp_on_token,
    user: *mut c_void,
}

/// # Safety
///
/// `result` points to room for one, or is null.
unsafe fn run(
    session: &Session,
    request: Request,
    told: Told,
    result: *mut samp_result,
) -> Result<(), Failure> {
    let on_token = told.on_token.ok_or_else(|| Failure::argument("`on_token` is NULL"))?;
    let prompt_tokens = request.prompt.len();
    let generated = session.generate(request, |Delta { sampled, text, .. }| {
        let length = text.len();
        let ended = [text.as_bytes(), b"\0"].concat();
        // SAFETY: the function is the caller's, for such arguments.
        let stop = unsafe { on_token(told.user, ended.as_ptr().cast(), length, sampled.token) };
        if stop == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let finish = match generated.finish {
        Finish::Stop => samp_finish::Stop,
        Finish::Length => samp_finish::Length,
        Finish::Cancelled => samp_finish::Cancelled,
        Finish::ContextFull => samp_finish::ContextFull,
    };
    // SAFETY: room for one, or null, is what this function asks for.
    if let Some(place) = unsafe { result.cast::<std::mem::MaybeUninit<samp_result>>().as_mut() } {
        place.write(samp_result { prompt_tokens, tokens: generated.tokens.len(), finish });
    }
    Ok(())
}
