//! The command line of the load test.

use std::path::PathBuf;

use crate::client::Endpoint;

/// Put load on a server of OpenAI's API and measure what its clients see
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "samp-server bench", bin_name = "samp bench serve", version, max_term_width = 100)]
pub struct BenchArgs {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://localhost:8000", value_parser = Endpoint::parse)]
    pub base_url: Endpoint,
    /// The model's name [default: the first that the server names]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The server's key [default: what OPENAI_API_KEY says]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Requests in all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub num_prompts: u32,
    /// Seconds to go on for, in place of a number of requests
    #[arg(long, value_name = "SECONDS", conflicts_with = "num_prompts")]
    pub duration: Option<f64>,
    /// Requests a second, on average; without it each is sent as soon as one may be
    #[arg(long, value_name = "RATE", value_parser = positive)]
    pub request_rate: Option<f64>,
    /// How even arrivals are: 1 is a Poisson process, less comes in bursts
    #[arg(long, value_name = "SHAPE", default_value_t = 1.0, value_parser = positive, requires = "request_rate")]
    pub burstiness: f64,
    /// Requests at a time
    #[arg(long, visible_alias = "users", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrency: u32,
    /// Words of a prompt
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub input_words: u32,
    /// Tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub output_len: u32,
    /// Names the prompts and the arrivals
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// What a good request keeps, in milliseconds, such as ttft:250 tpot:50 e2el:5000; the rate of these is shown
    #[arg(long, value_name = "METRIC:MS", num_args = 1.., value_parser = goodput)]
    pub goodput: Vec<(String, f64)>,
    /// Price of the server an hour; shows what a million tokens cost
    #[arg(long, value_name = "PRICE", value_parser = positive)]
    pub price: Option<f64>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// File for a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Results of `--json` to show beside each other, in place of a test
    #[arg(long, value_name = "FILE", num_args = 2)]
    pub compare: Vec<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

fn goodput(text: &str) -> Result<(String, f64), String> {
    let expected =
        || format!("expected ttft, tpot or e2el with milliseconds, such as ttft:250, found {text:?}");
    let (name, ms) = text.split_once(':').ok_or_else(expected)?;
    let known = ["ttft", "tpot", "e2el"].contains(&name);
    let ms = positive(ms).ok().filter(|_| known).ok_or_else(expected)?;
    Ok((name.to_owned(), ms))
}
