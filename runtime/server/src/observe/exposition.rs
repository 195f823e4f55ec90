//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use super::{PlanLabels, histogram::Histogram};

/// What has metrics to show.
pub trait Exposed: Send + Sync {
    /// Writes them.
    fn write(&self, to: &mut Exposition);
}

/// Metrics as text, each name with its help and type once.
pub struct Exposition {
    text: String,
    /// Of vLLM's metrics: the model and the engine, as dashboards made for it expect them.
    engine_labels: Vec<(&'static str, String)>,
    last: String,
}

impl Exposition {
    /// Of a server of this plan.
    pub fn new(plan: &PlanLabels) -> Exposition {
        let engine_labels = vec![("model_name", plan.model.clone()), ("engine", "0".into())];
        Exposition { text: String::new(), engine_labels, last: String::new() }
    }

    /// All that was written.
    pub fn finish(self) -> String {
        self.text
    }

    /// What only grows.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&'static str, String)],
        value: impl Display,
    ) {
        self.sample(name, "counter", help, labels, value);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&'static str, String)], value: impl Display) {
        self.sample(name, "gauge", help, labels, value);
    }

    /// Counts by size.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&'static str, String)],
        histogram: &Histogram,
    ) {
        self.head(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            let labels = [labels, &[("le", bound)]].concat();
            self.line(name, "_bucket", &labels, count);
        }
        self.line(name, "_sum", labels, histogram.sum());
        self.line(name, "_count", labels, histogram.count());
    }

    fn sample(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        labels: &[(&'static str, String)],
        value: impl Display,
    ) {
        self.head(name, kind, help);
        self.line(name, "", labels, value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        if self.last != name {
            let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            self.last = name.to_owned();
        }
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&'static str, String)], value: impl Display) {
        let own: &[(&str, String)] = if name.starts_with("vllm:") { &self.engine_labels } else { &[] };
        let labels: Vec<String> =
            own.iter().chain(labels).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{suffix}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_stand_below_one_head() {
        let plan =
            PlanLabels { model: "a\"b".into(), digest: String::new(), quantization_level: String::new() };
        let mut to = Exposition::new(&plan);
        to.counter("samp_x_total", "What it is.", &[("outcome", "stop".into())], 3);
        to.counter("samp_x_total", "What it is.", &[("outcome", "length".into())], 4);
        let mut seconds = Histogram::new(&[0.5]);
        seconds.observe(0.25);
        to.histogram("vllm:s", "Seconds.", &[], &seconds);
        let own = r#"model_name="a\"b",engine="0""#;
        let expected = format!(
            "# HELP samp_x_total What it is.\n# TYPE samp_x_total counter\nsamp_x_total{{outcome=\"stop\"}} 3\n\
             samp_x_total{{outcome=\"length\"}} 4\n# HELP vllm:s Seconds.\n# TYPE vllm:s histogram\n\
             vllm:s_bucket{{{own},le=\"0.5\"}} 1\nvllm:s_bucket{{{own},le=\"+Inf\"}} 1\nvllm:s_sum{{{own}}} 0.25\n\
             vllm:s_count{{{own}}} 1\n"
        );
        assert_eq!(to.finish(), expected);
    }
}
