//! The examples below the help of each command.

use clap::Command;

/// A line for a shell, and what it is for.
struct Example {
    what: &'static str,
    line: &'static str,
}

const fn example(what: &'static str, line: &'static str) -> Example {
    Example { what, line }
}

/// The examples of each command; those of a command below another stand under both names.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "samp",
        &[
            example("A plan by fixed rules", "samp compile Llama-3.2-1B -o llama.plan"),
            example("Text from it", "samp run llama.plan -p 'The parser reads'"),
        ],
    ),
    (
        "samp compile",
        &[
            example("By fixed rules, for this CPU", "samp compile Llama-3.2-1B -o llama.plan"),
            example(
                "For two GPUs, plans/h100 and plans/a100",
                "samp compile Llama-3.1-70B --target h100,a100 -o plans",
            ),
            example(
                "By measurements on data like what is served, within limits",
                "samp compile Llama-3.2-1B --calib traffic.jsonl --max-bits 4.8 --max-loss 1% -o llama.plan",
            ),
            example(
                "What it would take; a config.json is enough",
                "samp compile Llama-3.1-70B/config.json --dry-run",
            ),
            example("The graph after fusing", "samp compile Llama-3.2-1B --stop-after fused"),
        ],
    ),
    (
        "samp measure",
        &[
            example("All layers", "samp measure Llama-3.2-1B --calib traffic.jsonl -o llama.profile"),
            example(
                "One of two machines' halves",
                "samp measure Llama-3.2-1B --calib traffic.jsonl --layers 0..8 -o first.profile",
            ),
        ],
    ),
    (
        "samp profile",
        &[example("Both halves as one", "samp profile merge first.profile second.profile -o llama.profile")],
    ),
    (
        "samp profile merge",
        &[example("Both halves as one", "samp profile merge first.profile second.profile -o llama.profile")],
    ),
    (
        "samp run",
        &[
            example("Continue a text", "samp run llama.plan -p 'The parser reads' -n 64"),
            example("Answer a message", "samp run llama.plan --chat 'What is a parser?' --temperature 0.7"),
            example("Read the prompt from a pipe", "cat prompt.txt | samp run llama.plan"),
            example("As data for a script", "samp run llama.plan -p 'The parser reads' --json"),
        ],
    ),
    (
        "samp serve",
        &[
            example("On this machine's port 8000", "samp serve llama.plan"),
            example("For others, who show a key", "samp serve llama.plan --host 0.0.0.0 --api-key-file keys"),
        ],
    ),
    (
        "samp eval",
        &[
            example("Perplexity", "samp eval llama.plan --data held-out.jsonl"),
            example(
                "Divergence from the checkpoint",
                "samp eval llama.plan --data held-out.jsonl --against Llama-3.2-1B",
            ),
        ],
    ),
    (
        "samp validate",
        &[
            example("Every byte, and the golden probe", "samp validate llama.plan"),
            example(
                "The certificate's claims as well, measured again",
                "samp validate llama.plan --certificate --data held-out.jsonl --against Llama-3.2-1B",
            ),
        ],
    ),
    (
        "samp inspect",
        &[
            example("Sizes and formats", "samp inspect llama.plan"),
            example("Every step with its kernels", "samp inspect llama.plan --program"),
        ],
    ),
    (
        "samp sign",
        &[
            example("A key to sign with, and one to verify with", "samp sign --generate-key release"),
            example("Sign", "samp sign llama.plan --key release.key"),
            example("Verify", "samp validate llama.plan --key release.pub"),
        ],
    ),
    ("samp diff", &[example("What two plans decide differently", "samp diff llama.plan other.plan")]),
    (
        "samp report",
        &[
            example("A page", "samp report llama.plan -o llama.html"),
            example(
                "With the price of tokens",
                "samp report llama.plan --price-per-hour spot=3 -o llama.html",
            ),
        ],
    ),
    (
        "samp export",
        &[example("Weights as the plan computes with them", "samp export llama.plan -o Llama-exported")],
    ),
    (
        "samp bench",
        &[
            example("Prompt, generation, 1, 4 and 16 sequences", "samp bench llama.plan"),
            example(
                "On one thread, as data for a script",
                "samp bench llama.plan --threads 1 --sequences 1 --json",
            ),
        ],
    ),
    (
        "samp synth",
        &[
            example(
                "A model's size without the model",
                "samp synth --shape llama-3.2-1b Llama-3.2-1B-random",
            ),
            example("Four of its layers", "samp synth --shape llama-3-8b --layers 4 four-layers"),
        ],
    ),
    ("samp doctor", &[example("What this machine lacks", "samp doctor")]),
    (
        "samp explain",
        &[example("What a code means", "samp explain E0902"), example("All codes", "samp explain")],
    ),
    ("samp completions", &[example("For this shell alone", "source <(samp completions bash)")]),
    ("samp man", &[example("All pages", "samp man ~/.local/share/man/man1")]),
];

/// The command with the examples of it and of all below it in their help.
pub(super) fn with_examples(command: Command) -> Command {
    below(command, String::new())
}

fn below(command: Command, above: String) -> Command {
    let name = [above, command.get_name().to_owned()].join(" ").trim_start().to_owned();
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let text = text(&name);
    let command = names.into_iter().fold(command, |command, subcommand| {
        command.mut_subcommand(subcommand, |subcommand| below(subcommand, name.clone()))
    });
    match text {
        Some(text) => command.after_help(text),
        None => command,
    }
}

fn text(name: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(of, _)| *of == name)?;
    let lines = examples.iter().map(|example| format!("\n  {}:\n    {}", example.what, example.line));
    Some(format!("Examples:{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &Command, above: &str, found: &mut Vec<String>) {
        let name = format!("{above} {}", command.get_name()).trim_start().to_owned();
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        below.for_each(|below| names(below, &name, found));
        found.push(name);
    }

    #[test]
    fn every_command_has_examples_and_none_is_left_over() {
        let mut found = vec![];
        names(&crate::commands::command_line(), "", &mut found);
        let mut shown: Vec<String> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        found.sort();
        shown.sort();
        assert_eq!(shown, found);
    }

    /// The words of a line from the command's name on, quotes taken away.
    fn words(line: &str) -> Vec<String> {
        let line = &line[line.find("samp ").expect("a line calls samp")..];
        let mut words = vec![String::new()];
        let mut is_quoted = false;
        for c in line.trim_end_matches(')').chars() {
            match c {
                '\'' => is_quoted = !is_quoted,
                ' ' if !is_quoted => words.push(String::new()),
                other => words.last_mut().expect("one is there").push(other),
            }
        }
        words
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        for (name, examples) in EXAMPLES {
            for example in *examples {
                let words = words(example.line);
                let parsed = crate::commands::command_line().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{name}: {}\n{}", example.line, parsed.unwrap_err());
            }
        }
    }
}
