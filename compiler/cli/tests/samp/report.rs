//! `samp report`: one page that fetches nothing, for plans with measurements and without, whatever their names are.

use std::{collections::BTreeMap, path::Path};

use samp_abi::{
    Format,
    plan::{Plan, Tensor, unseal},
};
use samp_cli::report::{Currency, Price, ReportInputs, page};
use samp_compiler::certificate::{
    Certificate, Divergence, ErrorFactor, Fingerprint, HeldOut, InputStatistics, PROFILE_VERSION, PassEffect,
    Profile, QualityEvidence, Round, Sensitivity, StratumQuality, Uniform, WeightProfile,
};

use serde_json::Value;

use crate::harness::{Draws, Harness, fails, ok, samp};

pub fn manifest(plan: &Path) -> Plan {
    let bytes = std::fs::read(plan.join("plan.json")).unwrap();
    unseal(&bytes, |b| blake3::hash(b).to_string()).unwrap()
}

pub fn certificate(plan: &Path) -> Certificate {
    serde_json::from_slice(&std::fs::read(plan.join("certificate.json")).unwrap()).unwrap()
}

/// A certificate with made-up measurements: the later a weight stands, the more it loses.
pub fn measured(certificate: Certificate, plan: &Plan) -> Certificate {
    let divergence = |nats: f64| Divergence {
        measured: true,
        nats,
        strata: BTreeMap::from([("code".into(), 1.5 * nats), ("prose".into(), 0.5 * nats)]),
    };
    let weight = |(index, tensor): (usize, &Tensor)| {
        let tried = [(Format::Nf4, 1e-4), (Format::Int8 { outliers: false }, 1e-6), (Format::F16, 0.0)];
        let own = (!tried.iter().any(|t| t.0 == tensor.format)).then_some((tensor.format, 1e-5));
        let formats = tried.into_iter().chain(own).map(|(format, nats)| Sensitivity {
            format,
            output_error: nats,
            divergence: divergence(nats * (1 + index % 7) as f64),
        });
        WeightProfile {
            key: tensor.name.clone(),
            rows: tensor.rows,
            cols: tensor.cols,
            inputs: Some(InputStatistics {
                rms: 1.0,
                absmax: 9.0,
                fp8_scale: 9.0 / 448.0,
                int8_scale: 9.0 / 127.0,
                heads: vec![],
                largest_channel_rms: 8.0,
                outlier_channels: (0..index as u64).collect(),
            }),
            formats: formats.collect(),
            parts: vec![],
        }
    };
    let matrices = plan.tensors.iter().filter(|t| t.rows > 1).enumerate();
    let profile = Profile {
        schema: PROFILE_VERSION,
        rounding: "gptq".into(),
        weights: matrices.map(weight).collect(),
        ..Profile::empty()
    };
    Certificate { quality: Some(audited(profile)), ..certificate }
}

fn audited(profile: Profile) -> QualityEvidence {
    let stratum = |nats: f64| StratumQuality {
        records: 10,
        tokens: 1000,
        kl_nats: nats,
        kl_nats_at_most: Some(1.2 * nats),
        perplexity_ratio: 1.0 + nats,
        perplexity_ratio_at_most: Some(1.0 + 2.0 * nats),
    };
    let strata = BTreeMap::from([("code".into(), stratum(2e-3)), ("prose".into(), stratum(1e-3))]);
    QualityEvidence {
        calibration: Fingerprint::default(),
        profile,
        kv: vec![],
        rounds: vec![Round {
            limits: vec!["bits per weight: 4.7 bits of 4.8 bits".into()],
            predicted_nats: 1e-3,
            bound_nats: Some(1e-3),
            gap: 0.0,
            prices: vec![],
            audited_nats: 1.5e-3,
            factors: BTreeMap::from([("code".into(), 1.5)]),
        }],
        held_out: HeldOut { fingerprint: "f".into(), overall: stratum(1.5e-3), strata },
        best_uniform: Some(Uniform { format: Format::Nf4, bits_per_weight: 4.127, kl_nats: 3e-3 }),
        uniforms: vec![],
        effects: vec![PassEffect {
            pass: "equalize".into(),
            error: Some(ErrorFactor {
                linears: 3,
                mean: 0.512,
                worst: 1.034,
                worst_linear: "layers.0.mlp.down_proj".into(),
            }),
            logit_change: Some(2.1e-6),
        }],
        rounded: "r".into(),
    }
}

/// Fails unless every element is closed in turn and nothing is fetched or run.
fn assert_self_contained(page: &str) {
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
    for fetching in
        ["http:", "https:", "src=", "url(", "@import", "<link", "<script", "<iframe", "javascript:"]
    {
        assert!(!page.contains(fetching), "{fetching}");
    }
    let mut open = vec![];
    for tag in page.split('<').skip(2).map(|rest| rest.split('>').next().unwrap_or_default()) {
        let name = tag.split(' ').next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closed out of turn"),
            None if ["meta", "input", "wbr"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let ids = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    let mut ids: Vec<&str> = ids.collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "every id stands once");
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()) {
        assert!(ids.contains(&target), "#{target} leads nowhere");
    }
}

#[test]
fn a_fixed_recipe_has_a_page_that_says_what_is_missing() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let report = |prices: &[&str]| {
        let mut command = samp(["report"]);
        command.arg(&plan).args(prices.iter().flat_map(|price| ["--price-per-hour", price]));
        ok(command)
    };
    let page = report(&["2.50", "spot=0.9"]);
    assert_self_contained(&page);
    assert!(page.contains("Not measured") && page.contains("--calib RECORDS.jsonl"));
    assert!(page.contains("spot: price per million tokens, at 0.9 an hour"));
    assert!(page.contains("A price without a currency"));
    assert!(!page.contains("id=\"front\"") && !page.contains("id=\"sensitivity\""));
    assert!(page.contains("id=\"formats\"") && page.contains("id=\"bytes\"") && page.contains("id=\"cost\""));
    assert_eq!(page, report(&["2.50", "spot=0.9"]), "the same plan and prices give the same bytes");
    let mut into_a_file = samp(["report", "-o"]);
    into_a_file.arg(harness.path("report.html")).arg(&plan);
    assert_eq!(ok(into_a_file), "");
    let written = std::fs::read_to_string(harness.path("report.html")).unwrap();
    assert!(written.contains("--price-per-hour") && written == report(&[]));
}

#[test]
fn a_measured_plan_has_every_section() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let plan = manifest(&dir);
    let certificate = measured(certificate(&dir), &plan);
    let page = page(&ReportInputs { plan: &plan, certificate: &certificate, prices: &[] }).unwrap();
    assert_self_contained(&page);
    for id in [
        "summary",
        "quality",
        "front",
        "sensitivity",
        "bytes",
        "latency",
        "outliers",
        "cost",
        "decisions",
        "source",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("× 0.512") && page.contains("2.1e−6"), "what a quality pass did");
    assert!(!page.contains("Not measured"));
    for said in ["uniform int8", "50 % less loss", "at most 0.0018", "count towards no limit"] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn the_title_names_the_model() {
    let harness = Harness::new();
    let page = |args: &[&str]| {
        let mut command = samp(["report"]);
        command.arg(harness.compile(if args.is_empty() { "unnamed" } else { "named" }, args));
        ok(command)
    };
    let named = page(&["--name", "acme/base"]);
    assert!(named.contains("<title>acme/base: LlamaForCausalLM, 6 layers, for cpu"));
    assert!(named.contains("<h1>acme/base</h1><p class=\"kind\">LlamaForCausalLM, 6 layers, for cpu"));
    assert!(page(&[]).contains("<h1>tiny-llama</h1>"), "the folder's name, where no other is given");
}

#[test]
fn prices_are_in_the_currency_that_was_given() {
    let harness = Harness::new();
    let plan = harness.compile("plan", &[]);
    let mut command = samp(["report", "--price-per-hour", "spot=3.20 EUR", "--price-per-hour", "$3.20"]);
    let page = ok({
        command.arg(&plan);
        command
    });
    assert!(page.contains(">spot: EUR per million tokens, at 3.20 EUR an hour</th>"));
    assert!(page.contains(">$ per million tokens, at $3.20 an hour</th>"));
    assert!(page.contains(" EUR</td>") && page.contains("<td class=\"n\">$"));
    assert!(!page.contains("A price without a currency"));
    // The times are those of the plan's own target.
    let mut command = samp(["report", "--price-per-hour", "h100=3.20 EUR"]);
    command.arg(&plan);
    let (page, refused) = fails(2, command);
    assert!(page.is_empty() && refused.contains("expected what cpu costs"), "{page}{refused}");
    assert!(refused.contains("found the price of h100"), "{refused}");
}

#[test]
fn what_lies_outside_of_the_layers_stands_apart() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let plan = manifest(&dir);
    let certificate = measured(certificate(&dir), &plan);
    let page = page(&ReportInputs { plan: &plan, certificate: &certificate, prices: &[] }).unwrap();
    let tables =
        || page.split("<table").skip(1).map(|rest| rest.split("</table>").next().unwrap_or_default());
    for what in ["Bytes", "Predicted decode time"] {
        let caption = format!("<caption>{what} outside of the layers");
        let table = tables().find(|table| table.contains(&caption)).unwrap();
        assert!(table.contains(">embed_<wbr>tokens</th>") && table.contains(">lm_<wbr>head</th>"), "{table}");
        assert!(!table.contains(">layer 0</th>"));
    }
    let layers = tables().find(|table| table.contains("<caption>Bytes by layer")).unwrap();
    assert!(layers.contains(">layer 0</th>") && !layers.contains("embed"), "{layers}");
    let maps: Vec<&str> = tables().filter(|table| table.contains("class=\"grid\"")).collect();
    let places = maps[0].matches("scope=\"col\"").count() - 1;
    let apart = format!("class=\"apart\" colspan=\"{places}\"");
    assert!(maps.iter().all(|map| map.contains(&apart)), "a row of its own beside {places} columns");
}

#[test]
fn assistive_technology_finds_its_way() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let plan = manifest(&dir);
    let certificate = measured(certificate(&dir), &plan);
    let page = page(&ReportInputs { plan: &plan, certificate: &certificate, prices: &[] }).unwrap();
    let levels = page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10));
    let levels: Vec<u32> = levels.collect();
    assert!(levels[0] == 1 && levels[1..].iter().all(|level| *level == 2), "{levels:?}");
    for landmark in ["<header>", "<nav aria-label=", "<main>"] {
        assert_eq!(page.matches(landmark).count(), 1, "{landmark}");
    }
    let regions = || page.split("class=\"scroll\"").skip(1);
    assert!(regions().count() > 8);
    for region in regions() {
        assert!(region.starts_with(" role=\"region\" tabindex=\"0\" aria-label=\""), "{}", &region[..80]);
    }
    for image in page.split("<svg").skip(1).map(|rest| rest.split("</svg>").next().unwrap_or_default()) {
        let described =
            image.contains("role=\"img\"") && image.contains("<title>") && image.contains("<desc>");
        assert!(described || image.contains("aria-hidden=\"true\""), "{}", &image[..80]);
    }
}

#[test]
fn strata_that_calibration_did_not_see_are_named() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let plan = manifest(&dir);
    let mut certificate = measured(certificate(&dir), &plan);
    let shown =
        |certificate: &Certificate| page(&ReportInputs { plan: &plan, certificate, prices: &[] }).unwrap();
    assert!(!shown(&certificate).contains("Calibration saw no record"));
    let quality = certificate.quality.as_mut().unwrap();
    for sensitivity in quality.profile.weights.iter_mut().flat_map(|w| &mut w.formats) {
        sensitivity.divergence.strata.remove("code");
    }
    let page = shown(&certificate);
    assert!(page.contains("Calibration saw no record of code."));
    assert!(page.contains("loses 2.00 times as much"));
}

#[test]
fn hostile_names_stay_text() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let (mut plan, mut certificate) = (manifest(&dir), certificate(&dir));
    let hostile = "\"><script>alert(1)</script>";
    for tensor in &mut plan.tensors {
        tensor.name += hostile;
    }
    for step in &mut plan.program.steps {
        step.label += hostile;
    }
    plan.provenance.tool += hostile;
    plan.provenance.sources[0].path += hostile;
    certificate = measured(certificate, &plan);
    certificate.recipe += hostile;
    let quality = certificate.quality.as_mut().unwrap();
    let stratum = quality.held_out.strata["code"].clone();
    quality.held_out.strata.insert(hostile.into(), stratum);
    quality.rounds[0].limits.push(hostile.into());
    quality.profile.rounding += hostile;
    plan.provenance.name = Some(hostile.into());
    let prices = [Price {
        name: Some(hostile.into()),
        written: hostile.into(),
        per_hour: 1.0,
        currency: Some(Currency::After(hostile.into())),
    }];
    for certificate in [&certificate.clone(), &Certificate { quality: None, ..certificate }] {
        let page = page(&ReportInputs { plan: &plan, certificate, prices: &prices }).unwrap();
        assert_self_contained(&page);
        assert!(page.contains("&lt;script&gt;"));
    }
}

/// Adds so many copies of the plan's six layers.
pub fn repeat_layers(plan: &mut Plan, copies: u64) {
    let (tensors, steps) = (plan.tensors.clone(), plan.program.steps.clone());
    for copy in 1..=copies {
        let shift = |name: &str| {
            (0..6).fold(name.to_owned(), |name, layer| {
                name.replace(&format!("layers.{layer}."), &format!("layers.#{}.", layer + 6 * copy))
            })
        };
        let inside = |name: &str| name.starts_with("layers.");
        let more = tensors.iter().filter(|t| inside(&t.name)).cloned();
        plan.tensors.extend(more.map(|t| Tensor { name: shift(&t.name).replace('#', ""), ..t }));
        for mut step in steps.iter().filter(|s| inside(&s.label)).cloned() {
            step.label = shift(&step.label).replace('#', "");
            plan.program.steps.push(step);
        }
    }
}

#[test]
fn a_model_of_many_layers_is_reported_in_full() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let (mut plan, certificate) = (manifest(&dir), certificate(&dir));
    repeat_layers(&mut plan, 20);
    let certificate = measured(certificate, &plan);
    let page = page(&ReportInputs { plan: &plan, certificate: &certificate, prices: &[] }).unwrap();
    assert_self_contained(&page);
    assert!(page.contains(">layer 125</th>") && !page.contains("NaN"));
}

/// Every number of a certificate that is no count as `change` has it; counts are those that are whole.
fn with_numbers(certificate: &Certificate, change: &mut dyn FnMut(f64) -> f64) -> Certificate {
    fn walk(value: &mut Value, change: &mut dyn FnMut(f64) -> f64) {
        match value {
            Value::Number(number) if number.is_f64() => {
                *value = serde_json::json!(change(number.as_f64().unwrap()));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
            Value::Object(map) => map.values_mut().for_each(|item| walk(item, change)),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(certificate).unwrap();
    walk(&mut value, change);
    serde_json::from_value(value).unwrap()
}

#[test]
fn no_number_is_shown_that_is_none() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let plan = manifest(&dir);
    let certificate = measured(certificate(&dir), &plan);
    let shown = |certificate: &Certificate| page(&ReportInputs { plan: &plan, certificate, prices: &[] });
    let largest = [1e150, -1e150, 1e-150, -1e-150, 0.0];
    let mut draws = Draws::new(18);
    for round in 0..25 {
        let mut draw = |_| largest[if round < 5 { round } else { draws.below(5) as usize }];
        // What no front can be made of is refused; what is shown are numbers.
        let Ok(page) = shown(&with_numbers(&certificate, &mut draw)) else { continue };
        assert_self_contained(&page);
        let text = page.split("</style>").nth(1).unwrap();
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        for (at, word) in words.iter().enumerate() {
            let around = || words[at.saturating_sub(12)..(at + 6).min(words.len())].join(" ");
            assert!(!["inf", "NaN", "nan", "infinity"].contains(word), "{round}: {}", around());
        }
    }
    for beyond in [1e308, -1e308, 1e-300] {
        let refused = shown(&with_numbers(&certificate, &mut |_| beyond)).unwrap_err();
        assert!(refused.code == "E1202" && refused.message.contains("between 1e-150 and 1e150"), "{refused}");
    }
}

#[test]
fn every_format_has_a_colour_and_every_map_a_switch() {
    let style = include_str!("../../src/report/page.css");
    for (index, format) in Format::ALL.iter().enumerate() {
        assert!(style.contains(&format!(".f-{format} {{")), "{format}");
        // The first map shows what was chosen; the formats come after it.
        assert!(style.contains(&format!("#map-{}:checked ~ .map-{0}", index + 1)), "{index}");
    }
}

#[test]
fn what_is_no_plan_or_no_price_is_refused() {
    let harness = Harness::new();
    fails(2, samp(["report", "/nowhere"]));
    let plan = harness.compile("plan", &[]);
    let mut command = samp(["report", "--price-per-hour", "free"]);
    command.arg(&plan);
    assert!(
        fails(2, command).1.contains("expected a price above 0 such as 2.50, '$2.50' or NAME='2.50 EUR'")
    );
}
