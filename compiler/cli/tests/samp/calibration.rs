//! Calibration data on the command line: what is wrong with it is said before anything is measured.

use std::fs;

use crate::harness::{Harness, fails};

#[test]
fn bad_calibration_data_is_refused_before_any_measuring() {
    let harness = Harness::new();
    let good = "{\"text\": \"The parser reads the file\", \"stratum\": \"code\"}\n\
                {\"text\": \"The index removes the stream\", \"stratum\": \"prose\"}\n";
    for (data, args, code, expected) in [
        (&b""[..], &[][..], "E0804", "found none"),
        (b"{\"text\": \"\xff\"}\n", &[], "E0802", "offset 10"),
        (b"{\"text\": \"a\"}\n{\"prompt\": \"a\"}\n", &[], "E0803", "data.jsonl:2"),
        (b"{\"text\": \"a\", \"weight\": -1}\n", &[], "E0803", "above 0, found -1"),
        (b"{\"messages\": [{\"role\": \"user\"}]}\n", &[], "E0803", "content"),
        (good.as_bytes(), &["--mix", "code=1,xml=2"], "E1004", "the data has the strata code, prose"),
        (good.as_bytes(), &["--mix", "code=-1"], "E1004", "above 0"),
        (good.as_bytes(), &["--traffic", "/nowhere.jsonl"], "E0801", "/nowhere.jsonl"),
        (b"{\"text\": \"The only record\"}", &[], "E1005", "--audit"),
    ] {
        let path = harness.path("data.jsonl");
        fs::write(&path, data).unwrap();
        let mut command = harness.compiling("plan", &["--calib"]);
        command.arg(&path).args(args);
        let (_, message) = fails(2, command);
        assert!(message.contains(&format!("error[{code}]")) && message.contains(expected), "{message}");
        assert!(!harness.path("plan").exists() && !harness.path("plan.calibration.partial").exists());
    }
}

#[test]
fn parquet_that_cannot_be_read_is_refused_with_or_without_the_feature() {
    let harness = Harness::new();
    let path = harness.path("data.parquet");
    fs::write(&path, "PAR1").unwrap();
    let mut command = harness.compiling("plan", &["--calib"]);
    command.arg(&path);
    let (_, message) = fails(2, command);
    assert!(message.contains("error[E1006]") && message.contains("hint: "), "{message}");
}
