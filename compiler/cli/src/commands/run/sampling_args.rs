//! The flags that choose tokens, beside what the model's makers recommend.

use samp_runtime::{GenerationConfig, GenerationSettings, Sampler, Sampling, SamplingError};

use crate::output::say;

/// How tokens are chosen. What is not given is as the model's generation_config.json says, or as transformers has it
#[derive(clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Softmax temperature; 0 always takes the most likely token
    #[arg(long, value_name = "X")]
    temperature: Option<f32>,
    /// Sample among the K most likely tokens only; 0 is all
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Sample among the fewest tokens whose probability reaches P
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Leave out tokens less likely than P times the most likely one
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Divide the logits of tokens already seen by this (multiply, where negative)
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f32>,
    /// Seed of the sampler; the same seed gives the same text
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

impl SamplingArgs {
    /// How tokens are chosen, said on stderr with where each value comes from; what the model's settings say in vain as well.
    pub fn choose(&self, config: &GenerationConfig) -> Result<Sampling, SamplingError> {
        for clause in &config.passed_over {
            say(format_args!("warning: generation_config.json: {clause}; passed over"));
        }
        let given = GenerationSettings {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            ..GenerationSettings::default()
        };
        let chosen = config.sampling(&given, self.seed);
        Sampler::new(chosen.sampling)?;
        let seed =
            if chosen.sampling.temperature > 0.0 { format!("; seed {}", self.seed) } else { String::new() };
        say(format_args!("sampling: {chosen}{seed}"));
        Ok(chosen.sampling)
    }
}
