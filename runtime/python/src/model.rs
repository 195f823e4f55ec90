//! A model: a plan that is loaded.

use std::{ops::ControlFlow, path::PathBuf};

use pyo3::{IntoPyObjectExt, prelude::*, types::PyByteArray};
use samp_runtime::{
    EngineOptions, Finish, Request, Sampling, Session, SessionError, SessionOptions, SpecialTokens,
};

use crate::{
    error::{exception, raised},
    prompt::PromptValue,
    stream::Stream,
};

/// A plan that is loaded on a device. Threads may share it.
#[pyclass(frozen, module = "samp")]
pub(crate) struct Model(Session);

/// A finished answer; `str()` of it is its text.
#[pyclass(frozen, get_all, module = "samp")]
pub(crate) struct Generated {
    text: String,
    tokens: Vec<u32>,
    finish: &'static str,
    prompt_tokens: usize,
}

/// Opens a plan, checks every byte of it, and loads it on a device: by default the one that the plan is for.
///
/// `threads` compute and belong to this model (at most 1024; one for each core); `kv_tokens` are the positions that the KV cache holds over
/// all sequences (all that the plan's limits allow); `digest` is the one that the plan must have.
#[pyfunction]
#[pyo3(signature = (plan, *, device=None, threads=None, kv_tokens=None, digest=None))]
pub(crate) fn load(
    py: Python<'_>,
    plan: PathBuf,
    device: Option<&str>,
    threads: Option<usize>,
    kv_tokens: Option<u64>,
    digest: Option<String>,
) -> PyResult<Model> {
    let device = device.map(str::parse).transpose();
    let device = device.map_err(|error| exception(py, format!("device: {error}"), None))?;
    let engine = EngineOptions { kv_tokens, ..EngineOptions::default() };
    let options = SessionOptions { device, threads, digest, engine };
    let session = py.detach(|| Session::open(plan, options));
    Ok(Model(session.map_err(|error| raised(py, &error))?))
}

#[pymethods]
impl Model {
    /// Continues a text or tokens, or answers a conversation (a list of messages with `role` and `content`).
    ///
    /// Gives the whole answer, or with `stream=True` an iterator over pieces of text. Temperature 0 takes the likeliest token
    /// each time; the same seed gives the same text.
    #[pyo3(signature = (
        prompt, *, max_tokens=128, temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, seed=0,
        stop=None, ignore_eos=false, stream=false
    ))]
    #[allow(clippy::too_many_arguments, reason = "they are named in Python")]
    fn generate<'py>(
        &self,
        py: Python<'py>,
        prompt: &Bound<'py, PyAny>,
        max_tokens: usize,
        temperature: f32,
        top_k: usize,
        top_p: f32,
        min_p: f32,
        repetition_penalty: f32,
        seed: u64,
        stop: Option<Vec<String>>,
        ignore_eos: bool,
        stream: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let sampling =
            Sampling { temperature, top_k, top_p, min_p, repetition_penalty, seed, ..Sampling::default() };
        let prompt = self.encode(py, prompt)?;
        let request = Request {
            prompt,
            sampling,
            max_tokens,
            stop: stop.unwrap_or_default(),
            ignore_eos,
            ..Request::default()
        };
        if stream {
            let generation = py.detach(|| self.0.stream(request)).map_err(|error| raised(py, &error))?;
            return Stream::new(generation).into_bound_py_any(py);
        }
        self.whole(py, request)?.into_bound_py_any(py)
    }

    /// The logits of the token after each of `tokens`: float32, `[tokens, vocab]`.
    fn logits<'py>(&self, py: Python<'py>, tokens: Vec<u32>) -> PyResult<Bound<'py, PyAny>> {
        let logits = py.detach(|| self.0.logits(&tokens)).map_err(|error| raised(py, &error))?;
        let rows = logits.as_slice();
        let bytes = PyByteArray::new_with(py, size_of_val(rows), |bytes| {
            let values = bytes.chunks_exact_mut(4).zip(rows);
            values.for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_ne_bytes()));
            Ok(())
        })?;
        let flat = py.import("numpy")?.call_method1("frombuffer", (bytes, "float32"))?;
        flat.call_method1("reshape", (logits.len(), logits.vocab()))
    }

    /// The tokens of a text, with those that begin texts, or of a conversation by the chat template.
    fn encode(&self, py: Python<'_>, prompt: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let prompt = PromptValue::of(prompt)?;
        py.detach(|| self.0.encode(prompt.prompt())).map_err(|error| raised(py, &error))
    }

    /// The text of tokens.
    #[pyo3(signature = (tokens, *, skip_special=true))]
    fn decode(&self, py: Python<'_>, tokens: Vec<u32>, skip_special: bool) -> PyResult<String> {
        let special = if skip_special { SpecialTokens::Skip } else { SpecialTokens::Keep };
        let text = self.0.tokenizer().and_then(|tokenizer| tokenizer.decode(&tokens, special));
        text.map_err(|error| raised(py, &error.into()))
    }

    /// Tokens that the model knows.
    #[getter]
    fn vocab_size(&self) -> u64 {
        self.0.plan().manifest().model.vocab_size
    }

    /// Most positions of a sequence.
    #[getter]
    fn max_context(&self) -> u64 {
        self.0.plan().manifest().limits.max_context
    }

    /// The plan's digest, which `load` can be asked to check.
    #[getter]
    fn digest(&self) -> &str {
        &self.0.plan().manifest().digest
    }

    fn __repr__(&self) -> String {
        format!("<samp.Model of {}>", self.0.plan().dir().display())
    }
}

impl Model {
    /// Generates to the end; after each token Ctrl-C is heard.
    fn whole(&self, py: Python<'_>, request: Request) -> PyResult<Generated> {
        let prompt_tokens = request.prompt.len();
        let mut interrupted = None;
        let generated = py.detach(|| {
            self.0.generate(request, |_| match Python::attach(|py| py.check_signals()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    interrupted = Some(error);
                    ControlFlow::Break(())
                }
            })
        });
        if let Some(error) = interrupted {
            return Err(error);
        }
        let generated = generated.map_err(|error: SessionError| raised(py, &error))?;
        let finish = finish_name(generated.finish);
        Ok(Generated { text: generated.text, tokens: generated.tokens, finish, prompt_tokens })
    }
}

#[pymethods]
impl Generated {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("Generated(text={:?}, tokens={}, finish={:?})", self.text, self.tokens.len(), self.finish)
    }
}

/// The name of a reason to end, as `samp run --json` gives it.
pub(crate) fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Cancelled => "cancelled",
        Finish::ContextFull => "context_full",
    }
}
