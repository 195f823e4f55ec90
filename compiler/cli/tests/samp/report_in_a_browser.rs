//! The report page as a browser lays it out: where Chromium is found, no text lies over other text and the page does not
//! scroll sideways.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use samp_cli::report::{ReportInputs, page};
use serde_json::Value;

use crate::{
    harness::{Harness, ok, samp},
    report::{certificate, manifest, measured, repeat_layers},
};

/// The narrowest page that is looked at, that of a phone; one between; a desktop's.
const WIDTHS: [u32; 3] = [390, 800, 1280];
/// What measures a page: every line of text that is seen, and those that lie over another.
const MEASURE: &str = include_str!("report_in_a_browser.js");

/// The first Chromium on the path, under any of its names.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let mut found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    found.find(|path| path.is_file())
}

/// What the browser measured of a page at each of the widths.
fn measure(chromium: &Path, harness: &Harness, html: &str) -> Vec<Value> {
    // Frames are as narrow as they are told to be, windows are not. A frame of text is of the same origin as the page
    // around it, which may look inside.
    let text = html.replace('&', "&amp;").replace('"', "&quot;");
    let frames = WIDTHS.map(|width| {
        format!("<iframe style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{text}\"></iframe>")
    });
    let outer =
        format!("<!doctype html><meta charset=\"utf-8\">{}<script>{MEASURE}</script>", frames.concat());
    let file = harness.path("measured.html");
    std::fs::write(&file, outer).unwrap();
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    command.args([
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        "--window-size=1400,900",
    ]);
    command.arg(format!("--user-data-dir={}", harness.path("browser").display()));
    let page = ok_dom(command.arg("--dump-dom").arg(format!("file://{}", file.display())));
    let found = page.split("<pre id=\"measured\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found
        .unwrap_or_else(|| panic!("the page was not measured: {}", &page[page.len().saturating_sub(2000)..]));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap()
}

fn ok_dom(command: &mut Command) -> String {
    let out = command.output().expect("the browser starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Fails where text lies over text or the page scrolls sideways.
fn assert_laid_out(harness: &Harness, html: &str, at_least: u64) {
    let Some(chromium) = chromium() else {
        eprintln!("SKIPPED: the page was not laid out: no Chromium is on the path");
        return;
    };
    for (width, found) in WIDTHS.iter().zip(measure(&chromium, harness, html)) {
        assert!(found["texts"].as_u64().unwrap() > at_least, "{width} px: {found}");
        assert_eq!(found["overlaps"], Value::Array(vec![]), "text over text at {width} px");
        let wide = found["scroll_width"].as_u64().unwrap();
        assert!(wide <= u64::from(*width), "at {width} px the page is {wide} px wide: it scrolls sideways");
    }
}

#[test]
fn a_measured_page_of_thirty_layers_has_no_text_over_text() {
    let harness = Harness::new();
    let dir = harness.compile("plan", &[]);
    let mut plan = manifest(&dir);
    repeat_layers(&mut plan, 4);
    let certificate = measured(certificate(&dir), &plan);
    let prices = ["h100=3.20 EUR".parse().unwrap()];
    let html = page(&ReportInputs { plan: &plan, certificate: &certificate, prices: &prices }).unwrap();
    assert_laid_out(&harness, &html, 400);
}

#[test]
fn the_page_of_a_fixed_recipe_has_no_text_over_text() {
    let harness = Harness::new();
    let mut command = samp(["report", "--price-per-hour", "2.50"]);
    command.arg(
        harness
            .compile("plan", &["--name", "a-rather-long-organisation/a-model-with-a-rather-long-name-too"]),
    );
    assert_laid_out(&harness, &ok(command), 100);
}

#[test]
fn text_over_text_is_found() {
    let Some(chromium) = chromium() else {
        eprintln!("SKIPPED: nothing was looked for: no Chromium is on the path");
        return;
    };
    let harness = Harness::new();
    let html = "<!doctype html><body style=\"margin:0\"><p style=\"position:absolute;top:0\">one</p>\
                <p style=\"position:absolute;top:4px\">two</p><div style=\"width:1500px\">wide</div>";
    for found in measure(&chromium, &harness, html) {
        assert!(
            found["overlaps"].as_array().unwrap().contains(&serde_json::json!(["one", "two"])),
            "{found}"
        );
        assert_eq!(found["scroll_width"], 1500);
    }
}
