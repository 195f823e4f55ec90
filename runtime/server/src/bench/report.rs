//! What all clients saw together.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{args::BenchArgs, request::Seen};

/// Percentiles that are shown.
pub const PERCENTILES: [f64; 4] = [50.0, 95.0, 98.0, 99.0];

/// Latencies by vLLM's names, in milliseconds.
pub fn latencies(seen: &[Seen]) -> [(&'static str, &'static str, Vec<f64>); 4] {
    let good = || seen.iter().filter(|seen| seen.error.is_none());
    let ms = |seconds: Vec<f64>| {
        let mut ms: Vec<f64> = seconds.into_iter().map(|seconds| seconds * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        ms
    };
    [
        ("ttft", "time to first token", ms(good().filter_map(|seen| seen.to_first).collect())),
        ("tpot", "time per output token", ms(good().filter_map(Seen::per_token).collect())),
        ("itl", "inter-token latency", ms(good().flat_map(|seen| seen.between.clone()).collect())),
        ("e2el", "end-to-end latency", ms(good().map(|seen| seen.latency).collect())),
    ]
}

/// A percentile of sorted values, between two of them in proportion.
pub fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let at = (sorted.len().checked_sub(1)? as f64) * percent / 100.0;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// The result as JSON. `seconds` is how long the test took.
pub fn result(args: &BenchArgs, seen: &[Seen], seconds: f64) -> Value {
    let good: Vec<&Seen> = seen.iter().filter(|seen| seen.error.is_none()).collect();
    let sum = |of: fn(&Seen) -> u64| good.iter().map(|seen| of(seen)).sum::<u64>();
    let (prompt, output) = (sum(|seen| seen.prompt_tokens), sum(|seen| seen.tokens));
    let mut latency = Map::new();
    for (name, _, sorted) in latencies(seen) {
        let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
        let mut of = Map::from_iter([("mean".to_owned(), json!(mean))]);
        for percent in PERCENTILES {
            of.insert(format!("p{percent}"), json!(percentile(&sorted, percent)));
        }
        latency.insert(format!("{name}_ms"), Value::Object(of));
    }
    let errors: Vec<&str> = seen.iter().filter_map(|seen| seen.error.as_deref()).take(5).collect();
    let mut result = json!({
        "completed": good.len(), "failed": seen.len() - good.len(), "errors": errors, "duration_s": seconds,
        "prompt_tokens": prompt, "output_tokens": output,
        "request_throughput": good.len() as f64 / seconds,
        "output_throughput": output as f64 / seconds,
        "total_token_throughput": (prompt + output) as f64 / seconds,
        "max_concurrency": args.max_concurrency, "request_rate": args.request_rate, "seed": args.seed,
    });
    if !args.goodput.is_empty() {
        let kept = good.iter().filter(|seen| args.goodput.iter().all(|(name, ms)| keeps(seen, name, *ms)));
        result["request_goodput"] = json!(kept.count() as f64 / seconds);
    }
    if let Some(price) = args.price {
        result["price_per_million_output_tokens"] = json!(price / 3600.0 * seconds / output as f64 * 1e6);
    }
    result.as_object_mut().into_iter().for_each(|result| result.extend(latency.clone()));
    result
}

fn keeps(seen: &Seen, name: &str, ms: f64) -> bool {
    let seconds = match name {
        "ttft" => seen.to_first,
        "tpot" => Some(seen.per_token().unwrap_or(0.0)),
        _ => Some(seen.latency),
    };
    seconds.is_some_and(|seconds| seconds * 1e3 <= ms)
}

/// Results beside each other, as a table for people.
pub fn table(results: &[Value]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, of: &dyn Fn(&Value) -> Value| {
        let shown = |value: Value| match value.as_f64() {
            Some(number) if number.fract() == 0.0 => format!("{number:>14.0}"),
            Some(number) => format!("{number:>14.2}"),
            None => format!("{:>14}", "–"),
        };
        let values: Vec<Value> = results.iter().map(of).collect();
        if values.iter().all(Value::is_null) {
            return;
        }
        let change = match values.iter().map(Value::as_f64).collect::<Vec<_>>()[..] {
            [Some(a), Some(b)] if a != 0.0 => format!("{:>+10.1} %", 100.0 * (b / a - 1.0)),
            _ => String::new(),
        };
        let columns: String = values.into_iter().map(shown).collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{name:<34}{columns}{change}");
    };
    for (name, field) in [
        ("requests answered", "completed"),
        ("requests failed", "failed"),
        ("seconds", "duration_s"),
        ("requests a second", "request_throughput"),
        ("good requests a second", "request_goodput"),
        ("output tokens a second", "output_throughput"),
        ("all tokens a second", "total_token_throughput"),
        ("price of a million output tokens", "price_per_million_output_tokens"),
    ] {
        line(name, &|result| result[field].clone());
    }
    for name in ["ttft", "tpot", "itl", "e2el"] {
        for key in ["mean", "p50", "p95", "p98", "p99"] {
            let of = |result: &Value| result[format!("{name}_ms")][key].clone();
            line(&format!("{} {key} (ms)", name.to_uppercase()), &of);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn seen(to_first: f64, latency: f64) -> Seen {
        Seen {
            to_first: Some(to_first),
            latency,
            tokens: 11,
            prompt_tokens: 5,
            between: vec![0.1; 10],
            ..Seen::default()
        }
    }

    #[test]
    fn percentiles_lie_between_values_in_proportion() {
        assert_eq!(percentile(&[], 50.0), None);
        assert_eq!(percentile(&[3.0], 99.0), Some(3.0));
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 50.0), Some(2.5));
    }

    #[test]
    fn failures_count_in_nothing_else() {
        let line = ["bench", "--goodput", "ttft:150", "e2el:1500", "--price", "3.6"];
        let args = BenchArgs::try_parse_from(line).unwrap();
        let failed = Seen { error: Some("x".into()), latency: 99.0, ..Seen::default() };
        let result = result(&args, &[seen(0.1, 1.1), seen(0.2, 1.2), failed], 2.0);
        assert_eq!((&result["completed"], &result["failed"]), (&json!(2), &json!(1)));
        assert_eq!((&result["output_throughput"], &result["request_goodput"]), (&json!(11.0), &json!(0.5)));
        assert_eq!(result["ttft_ms"]["p50"].as_f64().unwrap().round(), 150.0);
        assert_eq!(result["tpot_ms"]["mean"].as_f64().unwrap().round(), 100.0);
        let price = result["price_per_million_output_tokens"].as_f64().unwrap();
        assert!((price - 0.002 / 22.0 * 1e6).abs() < 1e-9, "{price}");
        let table = table(&[result.clone(), result]);
        assert!(table.contains("TTFT p99 (ms)") && table.contains("+0.0 %"), "{table}");
    }
}
